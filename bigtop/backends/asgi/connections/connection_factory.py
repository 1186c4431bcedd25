# Factory of connections: for a client that was accepted, or passed on by another worker.

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from bigtop.backends.asgi.connections.buffered_transport import BufferedTransport, LoopTurn
from bigtop.backends.asgi.connections.connection import Connection
from bigtop.backends.asgi.connections.proxied_connection import ProxiedConnection
from bigtop.backends.asgi.connections.routed_connection import RoutedConnection
from bigtop.backends.asgi.context import WorkerContext
from bigtop.backends.native.acceptor import Accepted
from bigtop.backends.native.app_queues import ProxiedAddresses
from bigtop.backends.native.engines import Engines
from bigtop.backends.native.transport.transport import TransportFactory
from bigtop.backends.native.transport.transports import probed
from bigtop.http.clients.proxyprotocol import Address
from bigtop.http.engine import PREFACE
from bigtop.http.interfaces.scope import Peer, Peers
from bigtop.http.paths.paths import root_of
from bigtop.http.paths.routes import RoutedEngine, Routes
from bigtop.http.requestid import RequestIds

UPGRADES: Final = (b"websocket",)


class ConnectionFactory:
    """Makes connections. Where `routes` tell whose a request is, `leave` hands one over; with
    `prior_knowledge` trusted peers may begin with HTTP/2 where nothing is encrypted."""

    def __init__(
        self,
        context: WorkerContext,
        transport_of: TransportFactory,
        routes: Routes | None,
        leave: Callable[[RoutedConnection, int, bytes], None],
        *,
        prior_knowledge: bool = False,
    ) -> None:
        options = context.options
        self._context = context
        self._transport_of = transport_of
        self._engines = Engines(options, routes)
        self._leave = leave
        self._with_http2 = (*UPGRADES, PREFACE) if prior_knowledge else UPGRADES
        self._turn = LoopTurn(context.loop, options.limits.send_memory, context.metrics.post)
        ids = RequestIds(os.urandom(8).hex())  # which no other worker has
        self._peers = Peers(context.forwarding, root_of(options.root_path), ids)

    def welcome(self, client: Accepted, data: bytes, *, hold: bool = False) -> BufferedTransport:
        """Serve a client, of which `data` was read elsewhere; with `hold` not before first_read()."""
        context, engines = self._context, self._engines
        if client.scheme:
            raw = probed(client.socket, client.scheme)
        else:
            raw = self._transport_of(client.socket, client.server)
        transport = BufferedTransport(raw, self._turn)
        if hold:
            transport.hold()
        peer = self._peers.peer(client.server, client.client, raw.scheme)
        if raw.opening is not None:
            raw.opening.opened = peer.encrypted
        trusted = raw.scheme == "http" and peer.policy.trusted
        upgrades = self._with_http2 if trusted else UPGRADES
        if engines.is_balancer(peer) and not client.scheme:
            connection: RoutedConnection = self._proxied(transport, peer, client.proxied)
        elif engines.has_routes:
            connection = RoutedConnection(
                context, transport, peer, engines.routed(peer, upgrades), self._leave
            )
        else:
            Connection(context, transport, peer, engines.plain(peer, upgrades))
            return transport
        if data:
            connection.take(data)
        return transport

    def _proxied(
        self, transport: BufferedTransport, peer: Peer, proxied: ProxiedAddresses | None
    ) -> ProxiedConnection:
        """Return the connection of a balancer; `proxied` is what it said to another application."""

        def learn(source: Address, destination: Address) -> None:
            learned = ProxiedAddresses(source, destination)
            connection.learn(self._peers.peer(destination, source, peer.scheme), learned)

        if proxied is None:
            engine: RoutedEngine = self._engines.proxied(peer, UPGRADES, learn)
        else:
            engine = self._engines.routed(peer, UPGRADES)
        connection = ProxiedConnection(self._context, transport, peer, engine, self._leave)
        if proxied is not None and proxied.source is not None and proxied.destination is not None:
            learn(proxied.source, proxied.destination)
        return connection
