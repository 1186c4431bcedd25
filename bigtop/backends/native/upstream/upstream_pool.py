# Pool of connections to one upstream, in one worker.
#
# Rule 1: the connection that was used last is used next, so that those which nobody needs grow old.
# Rule 2: an idle one on which anything comes, or its end, is closed: bytes that nobody asked for would be the
# answer to the next request.
# Rule 3: there are at most `most` connections. Requests beyond that wait for their turn, for a bounded time.

from __future__ import annotations

import socket
from collections import deque
from typing import Final

from bigtop.backends.native.timeouts import SECOND
from bigtop.backends.native.upstream.clocks import Clocks
from bigtop.backends.native.upstream.reactor import Reactor
from bigtop.backends.native.upstream.resolver import Resolver
from bigtop.backends.native.upstream.upstream_request import UpstreamConnection, UpstreamRequest
from bigtop.backends.native.upstream.upstream_socket import Address, UpstreamSocket
from bigtop.http.declarations import ProxyRoute

FRESH: Final = 30 * SECOND  # for which the addresses of a name are believed without asking again


class UpstreamPool:
    """Connections to the server of `route`; `table` has all of this worker's, by descriptor."""

    def __init__(
        self,
        route: ProxyRoute,
        most: int,
        table: dict[int, UpstreamConnection],
        clocks: Clocks,
        reactor: Reactor,
        resolver: Resolver,
    ) -> None:
        self.route = route
        self.clocks = clocks
        self._most = most
        self._table = table
        self._reactor = reactor
        self._resolver = resolver
        self._idle: list[UpstreamConnection] = []
        self._open = 0
        self._queue: deque[UpstreamRequest] = deque()
        self._addresses = _given(route)
        self._asked_at = 0 if self._addresses is None else -1  # when the name was looked up; -1: never is
        self._is_asking = False

    # ---- requests

    def ask(self, request: UpstreamRequest, now: int) -> None:
        """Find a connection for a request, now or later: begin() or not_connected() follows."""
        request.tried = 0
        while self._idle and not request.fresh:
            connection = self._idle.pop()
            self.clocks.stop(connection)
            if connection.socket.is_silent():
                connection.was_used = True
                request.begin(connection, now)
                return
            self._close(connection)
        if self._open >= self._most and self._idle:
            self.drop(self._idle[0])
        if self._open >= self._most:
            self._await_turn(request, now)
        else:
            self.connect(request, now)

    def connect(self, request: UpstreamRequest, now: int) -> None:
        """Try the next address."""
        if self._asked_at >= 0 and (self._addresses is None or now - self._asked_at > FRESH):
            self._look_up(now)
        if self._addresses is None:
            self._await_turn(request, now)
            return
        reason = "has no address"
        for address in self._addresses[request.tried :]:
            try:
                sock = UpstreamSocket(address, self._reactor)
            except OSError as error:
                reason = error.strerror or str(error)
                request.tried += 1
                continue
            connection = UpstreamConnection(sock, self)
            self._open += 1
            self._table[sock.fd] = connection
            request.begin(connection, now)
            return
        if self._asked_at >= 0:
            self._asked_at = 0  # it may have moved
        request.not_connected(f"cannot be connected to: {request.reason or reason}")

    def reconnect(self, connection: UpstreamConnection, request: UpstreamRequest, now: int) -> None:
        """Give up a connection that could not be made, and try the next address in its place."""
        self.clocks.stop(connection)
        self._close(connection)
        self.connect(request, now)
        self._serve_queue(now)

    def leave(self, request: UpstreamRequest, now: int) -> None:
        """A request that waits for a connection needs none any more."""
        self.clocks.stop(request)
        if request in self._queue:
            self._queue.remove(request)

    def release(self, connection: UpstreamConnection, reusable: bool, now: int) -> None:
        """Take a connection back."""
        self.clocks.stop(connection)
        if reusable:
            self._idle.append(connection)
            connection.socket.reads = True
            connection.socket.watch()
            self.clocks.start(connection, self.clocks.idle, now)
        else:
            self._close(connection)
        self._serve_queue(now)

    def drop(self, connection: UpstreamConnection) -> None:
        """An idle one was closed by the upstream, or nobody needs it."""
        self._idle.remove(connection)
        self.clocks.stop(connection)
        self._close(connection)

    def _await_turn(self, request: UpstreamRequest, now: int) -> None:
        self._queue.append(request)
        self.clocks.start(request, self.clocks.turn, now)

    def _serve_queue(self, now: int) -> None:
        while self._queue and self._addresses is not None and (self._idle or self._open < self._most):
            self.ask(self._queue.popleft(), now)

    def _close(self, connection: UpstreamConnection) -> None:
        del self._table[connection.socket.fd]
        connection.socket.close()
        self._open -= 1

    # ---- names

    def _look_up(self, now: int) -> None:
        if not self._is_asking:
            self._is_asking = True
            self._resolver.ask(self.route.host, self.route.port, self._found)

    def _found(self, addresses: list[Address], reason: str, now: int) -> None:
        """Take the answer of the resolver: `reason` says why there are none."""
        self._is_asking = False
        self._asked_at = now
        if addresses:
            self._addresses = addresses
            self._serve_queue(now)
        elif self._addresses is None:
            while self._queue:
                self._queue.popleft().not_connected(reason)


def _given(route: ProxyRoute) -> list[Address] | None:
    """Return the addresses that need not be looked up; None for a name."""
    if route.socket:
        return [(socket.AF_UNIX, route.socket)]
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, route.host)
        except OSError:
            continue
        return [(family, (route.host, route.port))]
    return None
