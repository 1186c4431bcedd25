# Base of the native backends: how to speak to clients, and what stands in front of the application.

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from bigtop.backends.base import BackendDefaults, Features, Life
from bigtop.backends.native.handlers.apart import IN_THREADS, Apart
from bigtop.backends.native.handlers.handler_chain import Chain, chain_of, with_challenges
from bigtop.backends.native.transport.encryption import HTTP1, HTTP2
from bigtop.backends.native.transport.transport import TransportFactory
from bigtop.backends.native.transport.transports import routes_of, transports
from bigtop.backends.native.trust import forwarding
from bigtop.backends.serve_options import ServeOptions
from bigtop.ipc.client_table import ClientTable

if TYPE_CHECKING:
    from bigtop.ipc.cache_arena import Arena


class NativeBackend(BackendDefaults):
    """One of ours. ConfigError: an address that may speak for others is none.

    A fork server makes it, and all its workers serve with it: what is made here is made once.
    """

    features: ClassVar[Features]

    def __init__(self, options: ServeOptions) -> None:
        super().__init__(options)
        self.forwarding = forwarding(options)
        self._clients: ClientTable | None = None
        self._arena: Arena | None = None

    def transports(self, listeners: Sequence[socket.socket], life: Life) -> TransportFactory:
        """Return how to speak to clients; they may choose HTTP/2 where the backend and the options let them.

        Asked for in a worker: before that, contexts are shared with those of another backend's, perhaps."""
        if life.encryption is not None and self.speaks_http2(life):
            life.encryption.contexts.offer((HTTP2, HTTP1))
        return transports(listeners, life.encryption, routes_of(life))

    def speaks_http2(self, life: Life) -> bool:
        """Whether clients may choose HTTP/2. Not where a connection would have to change its application, nor
        where a password may have to be found out for a request that is another server's, which the servers
        of WSGI applications do by connections (wsgi/upstream/undecided.py)."""
        options = self._options
        if not self.features.http2 or options.tls.http1_only:
            return False
        asks = options.proxy.routes and any(one.gates.users for one in options.by_path())
        if asks and self.features.interface == "wsgi":
            return False
        routes = routes_of(life)
        return routes is None or not routes.shares_hosts

    def chain_of(self, busy: Callable[[], int]) -> Chain:
        """Return what stands in front of the application; `busy` counts calls that run."""
        return chain_of(self._options, busy, self._clients, self.apart(), self._arena)

    def apart(self) -> Apart:
        """Return how something is done that takes long."""
        return IN_THREADS

    def whole_chain(self, life: Life, busy: Callable[[], int]) -> Chain:
        """Return that, behind what answers CAs where certificates are got."""
        self._clients, self._arena = life.slot.clients, life.slot.arena
        return with_challenges(self.chain_of(busy), life.encryption)
