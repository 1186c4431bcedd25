# Factory of connections: for a client that was accepted, or passed on by another worker.

from __future__ import annotations

from collections.abc import Collection

from bigtop.backends.native.acceptor import Accepted
from bigtop.backends.native.app_queues import ProxiedAddresses
from bigtop.backends.native.engines import Engines
from bigtop.backends.native.transport.bare_socket import AnySocket
from bigtop.backends.native.transport.transport import PlainTransport, Transport, TransportFactory
from bigtop.backends.native.transport.transports import probed
from bigtop.backends.wsgi.connections.connection import Connection, ProxiedConnection
from bigtop.backends.wsgi.context import WorkerContext
from bigtop.http.clients.forwarded import Forwarding
from bigtop.http.clients.peer import Address as AnyAddress
from bigtop.http.clients.proxyprotocol import Address
from bigtop.http.delegation.request_message import DelegatedRequest
from bigtop.http.engine import PREFACE, Engine
from bigtop.http.interfaces.wsgi import Environ, Environs, Peer


class ConnectionFactory:
    """Makes connections of clients that were accepted. `upgrades` are protocols that the application may go
    over to; with `prior_knowledge` trusted peers may begin with HTTP/2 where nothing is encrypted."""

    def __init__(
        self,
        transport: TransportFactory,
        engines: Engines,
        context: WorkerContext,
        environ: Environ,
        forwarding: Forwarding,
        upgrades: Collection[bytes] = (),
        *,
        prior_knowledge: bool = False,
    ) -> None:
        self._transport = transport
        self._context = context
        self._engines = engines
        self._upgrades = upgrades
        self._with_http2 = frozenset((*upgrades, PREFACE)) if prior_knowledge else upgrades
        self._environs = Environs(environ)
        self._forwarding = forwarding

    def read_upgrades(self, protocol: bytes) -> bool:
        """Let clients ask for a protocol, for other servers; return whether the application takes it, too."""
        taken = protocol in self._upgrades
        self._upgrades = {*self._upgrades, protocol}
        self._with_http2 = {*self._with_http2, protocol}
        return taken

    def __call__(self, client: Accepted) -> Connection:
        transport, proxied = self._transport_of(client), client.proxied
        scheme = transport.scheme
        peer = self._peer(client.server, client.client, scheme)
        if transport.opening is not None:
            transport.opening.opened = peer.encrypted
        upgrades = self._with_http2 if scheme == "http" and peer.policy.trusted else self._upgrades
        if client.scheme or not self._engines.is_balancer(peer):
            return Connection(transport, peer, self._engines.plain(peer, upgrades), self._context)

        def learn(source: Address, destination: Address) -> None:
            connection.learn(self._peer(destination, source, scheme), ProxiedAddresses(source, destination))

        if proxied is None:
            engine: Engine = self._engines.proxied(peer, upgrades, learn)
        else:
            engine = self._engines.plain(peer, upgrades)
        connection = ProxiedConnection(transport, peer, engine, self._context)
        if proxied is not None and proxied.source is not None and proxied.destination is not None:
            learn(proxied.source, proxied.destination)
        return connection

    def lent(self, pair: AnySocket, delegated: DelegatedRequest) -> Connection:
        """Make one to another worker, for whose request a call is run here."""
        peer = self._peer(delegated.server, delegated.client, delegated.scheme)
        if delegated.session is not None:
            peer.encrypted(delegated.session)
        return Connection(PlainTransport(pair), peer, self._engines.plain(peer, ()), self._context)

    def _transport_of(self, client: Accepted) -> Transport:
        if client.scheme:
            return probed(client.socket, client.scheme)
        return self._transport(client.socket, client.server)

    def _peer(self, server: AnyAddress, client: AnyAddress, scheme: str) -> Peer:
        return Peer(self._environs, server, client, self._forwarding, scheme)
