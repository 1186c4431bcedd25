# Transports: which kind a client gets, by the address that it came to.

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any

from bigtop.backends.base import Life
from bigtop.backends.native.transport.bare_socket import AnySocket
from bigtop.backends.native.transport.encryption import Encryption, ServerContexts
from bigtop.backends.native.transport.transport import PlainTransport, Transport, TransportFactory
from bigtop.http.clients.peer import Address
from bigtop.http.paths.routes import Routes

_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


def routes_of(life: Life) -> Routes | None:
    """Return whose a request is; None where there is one application."""
    return None if life.app_queues is None else life.app_queues.routes


def transports(
    listeners: Sequence[socket.socket], encryption: Encryption | None, routes: Routes | None
) -> TransportFactory:
    """Return what makes the transport of a client of one of `listeners`; `routes` tell which application
    the name is for that it gives before the handshake."""
    if encryption is None:
        return _plain
    encrypted = [listener for number, listener in enumerate(listeners) if number in encryption.listeners]
    owner_of = None if routes is None else routes.owner_of_name
    return _Transports(
        encryption.contexts,
        owner_of,
        frozenset(_where(listener.getsockname()) for listener in encrypted),
        is_mixed=len(encrypted) < len(listeners),
    )


def probed(client: AnySocket, scheme: str) -> Transport:
    """Return the transport of a probe of our supervisor's, which no other worker is to have."""
    transport = PlainTransport(client)
    transport.scheme, transport.is_movable = scheme, False
    return transport


def _plain(client: AnySocket, server: Address) -> Transport:
    return PlainTransport(client)


class _Transports:
    """Makes them where some listeners are encrypted: also for clients that another worker has accepted."""

    def __init__(
        self,
        contexts: ServerContexts,
        owner_of: Callable[[str], int] | None,
        places: frozenset[Any],
        *,
        is_mixed: bool,
    ) -> None:
        from bigtop.backends.native.transport.tls import TlsTransport

        self._kind = TlsTransport
        self._contexts = contexts
        self._owner_of = owner_of
        self._places = places
        self._is_mixed = is_mixed

    def __call__(self, client: AnySocket, server: Address) -> Transport:
        if self._is_mixed and not self._is_encrypted(server):
            return PlainTransport(client)
        return self._kind(client, self._contexts, self._owner_of)

    def _is_encrypted(self, server: Address) -> bool:
        if not isinstance(server, tuple):
            return server in self._places
        return _where(server) in self._places or (len(server), "", server[1]) in self._places


def _where(server: Any) -> Any:
    """Return an address for comparisons: with its family, and with no host for all of that."""
    if not isinstance(server, tuple):
        return server
    return len(server), "" if server[0] in _WILDCARDS else server[0], server[1]
