# Base of the native backends: how to speak to clients, and what stands in front of the application.

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from bigtop.backends.base import BackendDefaults, Life
from bigtop.backends.native.handler_chain import Chain, chain_of, with_challenges
from bigtop.backends.native.transport import TransportFactory
from bigtop.backends.native.transports import routes_of, transports
from bigtop.backends.native.trust import forwarding
from bigtop.backends.serve_options import ServeOptions


class NativeBackend(BackendDefaults):
    """One of ours. ConfigError: an address that may speak for others is none.

    A fork server makes it, and all its workers serve with it: what is made here is made once.
    """

    def __init__(self, options: ServeOptions) -> None:
        super().__init__(options)
        self.forwarding = forwarding(options)

    def transports(self, listeners: Sequence[socket.socket], life: Life) -> TransportFactory:
        """Return how to speak to clients."""
        return transports(listeners, life.encryption, routes_of(life))

    def chain_of(self, busy: Callable[[], int]) -> Chain:
        """Return what stands in front of the application; `busy` counts calls that run."""
        return chain_of(self._options, busy)

    def whole_chain(self, life: Life, busy: Callable[[], int]) -> Chain:
        """Return that, behind what answers CAs where certificates are got."""
        return with_challenges(self.chain_of(busy), life.encryption)
