# Upstreams of a worker: the servers of --proxy, and all connections to them.

from __future__ import annotations

from bigtop.backends.native.timeouts import Wait
from bigtop.backends.native.upstream.clocks import Clocks
from bigtop.backends.native.upstream.reactor import Reactor
from bigtop.backends.native.upstream.resolver import Resolver
from bigtop.backends.native.upstream.upstream_pool import UpstreamPool
from bigtop.backends.native.upstream.upstream_request import (
    UpstreamClient,
    UpstreamConnection,
    UpstreamRequest,
)
from bigtop.backends.serve_options import ProxyOptions
from bigtop.http.clients.peer import BasePeer
from bigtop.http.declarations import ProxyRoute
from bigtop.http.messages import Request
from bigtop.http.upstream.request_head import request_head
from bigtop.http.upstream.upstream_exchange import UpstreamExchange


class Upstreams:
    """All of them. The event loop calls on_event() for descriptors that are `in` here, and expire()."""

    def __init__(self, options: ProxyOptions, reactor: Reactor) -> None:
        self._table: dict[int, UpstreamConnection] = {}
        self._clocks = Clocks(options.connect_timeout, options.timeout, reactor.wake)
        self._resolver = Resolver(reactor)
        self._pools: dict[tuple[str, int, str], UpstreamPool] = {}
        for route in options.routes:
            # Several paths of one server share its connections.
            key = (route.host, route.port, route.socket)
            if key not in self._pools:
                self._pools[key] = UpstreamPool(
                    route, options.connections, self._table, self._clocks, reactor, self._resolver
                )

    def __contains__(self, fd: int) -> bool:
        return fd in self._table or fd == self._resolver.fd

    def request(
        self, request: Request, peer: BasePeer, route: ProxyRoute, client: UpstreamClient, request_id: bytes
    ) -> UpstreamRequest:
        """Return the request to the server of `route`, to be started by start()."""
        if request.version == "2" and not request.ended and request.content_length is None:
            request.chunked = True  # which is how HTTP/1.1 says that
        head = request_head(request, peer, route, request_id)
        name = f"{request.method} {request.target.decode('latin-1')}"
        pool = self._pools[route.host, route.port, route.socket]
        return UpstreamRequest(pool, UpstreamExchange(request, head), client, name)

    def on_event(self, fd: int, now: int) -> None:
        """Something may be done with a descriptor."""
        if fd == self._resolver.fd:
            self._resolver.hear(now)
            return
        connection = self._table.get(fd)
        if connection is None:
            return
        if connection.request is not None:
            connection.request.on_event(now)
        elif not connection.socket.is_silent():
            connection.pool.drop(connection)

    @property
    def due(self) -> int:
        """When expire() is to be called."""
        return self._clocks.due

    def expire(self, now: int) -> None:
        """Do what time has come for."""
        if now < self._clocks.due:
            return
        for waiter, wait in self._clocks.expired(now):
            self._late(waiter, wait, now)

    def _late(self, waiter: object, wait: Wait, now: int) -> None:
        if isinstance(waiter, UpstreamRequest):
            waiter.late(wait, now)
        elif isinstance(waiter, UpstreamConnection):
            if waiter.request is not None:
                waiter.request.late(wait, now)
            else:
                waiter.pool.drop(waiter)
