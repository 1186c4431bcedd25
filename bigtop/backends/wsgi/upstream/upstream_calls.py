# Upstream calls: requests that other servers answer (--proxy), in the native WSGI server.
#
# Rule 1: leader only. Such a request takes no application slot and no thread: its connection to the other
# server stands in the same epoll set as the client's.
# Rule 2: bodies go both ways as they come. A client that is not read from, or takes nothing, costs what its
# write buffer may hold, and no more.
# Rule 3: --timeout is about the application, and means nothing here: --proxy-timeout does.

from __future__ import annotations

import select
from typing import Any, Final

from bigtop.backends.native.handlers.postponed import Turns
from bigtop.backends.native.timeouts import Wait
from bigtop.backends.native.transport.write_buffer import ClientGone
from bigtop.backends.native.upstream.upstreams import Upstreams
from bigtop.backends.serve_options import ProxyOptions
from bigtop.backends.wsgi.call import BREAK, CLOSE, Call, Fate
from bigtop.backends.wsgi.connections.connection import (
    ANSWERING,
    NO_BODY,
    PASSED_ON,
    RECEIVE,
    Connection,
    next_part,
    pass_on,
)
from bigtop.backends.wsgi.connections.connections import Connections
from bigtop.backends.wsgi.request_flow import RequestFlow
from bigtop.backends.wsgi.upstream.undecided import UndecidedRequests, take_up
from bigtop.backends.wsgi.upstream.upstream_answer import UpstreamAnswer
from bigtop.errors import ProtocolError
from bigtop.http.declarations import ProxyRoute
from bigtop.http.handlers import Postponed, ProxyPass, Reply
from bigtop.http.messages import Request
from bigtop.http.paths.time_limits import NEVER
from bigtop.http.requestid import KEY
from bigtop.http.response import Head
from bigtop.http.upstream.request_head import id_of
from bigtop.http.upstream.response_reader import ResponseHead, switching
from bigtop.log import logger as get_logger
from bigtop.system.clock import monotonic_ns

log = get_logger("bigtop.proxy")

EPOLLIN: Final[int] = select.EPOLLIN
EPOLLOUT: Final[int] = select.EPOLLOUT


class EpollReactor:
    """The event loop, as upstreams know it."""

    def __init__(self, epoll: select.epoll, connections: Connections) -> None:
        self._epoll = epoll
        self.wake = connections.timeouts.wake

    def watch(self, fd: int, interest: int, before: int) -> None:
        if not before:
            self._epoll.register(fd, interest)
        elif interest:
            self._epoll.modify(fd, interest)
        else:
            self._epoll.unregister(fd)


class UpstreamCalls:
    """All of a worker. `app_upgrades`: the application takes WebSockets as well."""

    def __init__(
        self,
        options: ProxyOptions,
        epoll: select.epoll,
        connections: Connections,
        flow: RequestFlow,
        app_upgrades: bool,
    ) -> None:
        self.upstreams = Upstreams(options, EpollReactor(epoll, connections))
        self.connections = connections
        self.flow = flow
        self._app_upgrades = app_upgrades
        self.open: set[UpstreamCall] = set()
        self.undecided = UndecidedRequests(epoll, connections, self._go_on)

    def takes(self, connection: Connection, request: Request, reply: Reply | None, now: int) -> bool:
        """Take a request of which `reply` says that it is, or may be, another server's; False for others."""
        if isinstance(reply, Postponed) and not isinstance(reply.decide, Turns) and request.upgrade is None:
            self.undecided.ask(connection, request, reply)
            return True
        if isinstance(reply, ProxyPass):
            self._begin(connection, request, reply.route, now)
            return True
        if reply is None and request.upgrade is not None and not self._app_upgrades:
            connection.decline_rest(request)  # the application answers as HTTP does, once
            request.upgrade = None
        return False

    def _begin(self, connection: Connection, request: Request, route: ProxyRoute, now: int) -> None:
        """Let the server of `route` answer."""
        self.flow.limit(connection, request)
        self.connections.timeouts.stop(connection)
        connection.hide()
        connection.stage = PASSED_ON
        connection.call = call = Call(connection.context, connection.stream, request, NO_BODY(), now)
        pass_on(connection, request)
        one = connection.passed_on = UpstreamCall(self, connection, call)
        self.open.add(one)
        self._start(one, call, connection, route, now)
        one.go_on(now)

    def takes_stream(self, stream: Any, request: Request, reply: Reply | None, now: int) -> bool:
        """The same for a request on a stream of HTTP/2."""
        if not isinstance(reply, ProxyPass):
            return False
        from bigtop.backends.wsgi.http2.upstream_stream import UpstreamStream  # for such clients

        connection = stream.connection
        stream.call = call = Call(connection.context, stream, request, NO_BODY(), now)
        one = stream.incoming = UpstreamStream(self.flow, stream, call)
        self._start(one, call, connection, reply.route, now)
        return True

    def _start(
        self, one: UpstreamAnswer, call: Call, connection: Connection, route: ProxyRoute, now: int
    ) -> None:
        """Ask the server of `route`."""
        request, peer, slot = call.request, connection.stream.peer, connection.context.slot
        request_id = id_of(request, peer) or connection.context.ids.new_bytes()
        call.environ = {KEY: request_id.decode(), "REMOTE_ADDR": peer.origin(request.headers).address}
        call.called = now
        call.record = slot.begin(now, request.method.encode(), peer.label, request.target, request_id)
        slot.limit(call.record, now, NEVER)
        one.request = self.upstreams.request(request, peer, route, one, request_id)
        one.request.start(now)

    def _go_on(self, connection: Connection, request: Request, reply: Reply | None, now: int) -> None:
        """Go on with what was found of a request that was postponed."""
        if isinstance(reply, ProxyPass):
            self._begin(connection, request, reply.route, now)
        else:
            take_up(self.flow, connection, request, reply, now)

    def on_upstream(self, fd: int, now: int) -> bool:
        if fd in self.upstreams:
            self.upstreams.on_event(fd, now)
        elif fd == self.undecided.fd:
            self.undecided.hear(now)
        else:
            return False
        return True

    def expire(self, now: int) -> None:
        self.upstreams.expire(now)

    def part(self, now: int) -> None:
        """End WebSockets, which have no end of their own: their clients come again, to another worker."""
        for one in list(self.open):
            if one.request.is_tunnel:
                one.request.part(now)


class UpstreamCall(UpstreamAnswer):
    """One request and its client, who speaks HTTP/1.1."""

    def __init__(self, calls: UpstreamCalls, connection: Connection, call: Call) -> None:
        UpstreamAnswer.__init__(self, call, connection.context.slot)
        self._calls = calls
        self._connection = connection
        self._came = 0  # bytes of the body that came since it was waited for, and since when
        self._since = 0
        self._ends = False  # the connection, when all is sent

    # ---- the client's socket

    def on_event(self, now: int) -> None:
        """Something can be read or sent, perhaps."""
        stream = self._connection.stream
        try:
            if stream.waits and self._send(now):
                self.request.resume(now)
            if not self._is_over and self._reads:
                self._read(now)
        except ClientGone:
            self.give_up(now)
            return
        except ProtocolError as error:
            self.refuse(error, now)
            return
        self.go_on(now)

    def late(self, wait: Wait, now: int) -> None:
        """The client is too slow."""
        if wait is self._calls.connections.timeouts.body:
            self.refuse(ProtocolError(408, "the request did not arrive in time"), now)
        else:
            self.give_up(now)

    @property
    def _reads(self) -> bool:
        return self.request.wants_more and (self.request.is_tunnel or not self._has_body)

    def _send(self, now: int) -> bool:
        """Send what waits; whether there is room for more. Raises ClientGone."""
        write_buffer, timeouts = self._connection.stream.write_buffer, self._calls.connections.timeouts
        assert write_buffer is not None, "something waits"
        taken = write_buffer.taken
        write_buffer.flush()
        if write_buffer.size and write_buffer.is_too_slow(timeouts.send, now):
            raise ClientGone
        if write_buffer.taken > taken and self._connection.wait is timeouts.send:
            timeouts.stop(self._connection)
        return not write_buffer.is_full()

    def _read(self, now: int) -> None:
        """Read once. Raises ClientGone, and ProtocolError when the client broke HTTP or is too slow."""
        connection = self._connection
        if self.request.is_tunnel:
            self._read_raw(now)
            return
        size = connection.receive()
        self._calls.flow.metrics.bytes_in += size
        self._came += size
        timeouts = self._calls.connections.timeouts
        if size and connection.wait is timeouts.body:
            if timeouts.body.is_too_slow(self._came, self._since, now):
                raise ProtocolError(408, "the body comes too slowly")
            timeouts.stop(connection)

    def _read_raw(self, now: int) -> None:
        try:
            data = self._connection.transport.recv(RECEIVE)
        except BlockingIOError:
            return
        except OSError as error:
            raise ClientGone from error
        if data:
            self._calls.flow.metrics.bytes_in += len(data)
            self.request.body(data, now)
        else:
            self.request.abandon(now)
            self.raw_end()

    def go_on(self, now: int) -> None:
        """Pass on what was read, and wait for what comes next."""
        try:
            self._pass_body(now)
        except ProtocolError as error:
            self.refuse(error, now)
        if self._is_over:
            return
        connection, connections = self._connection, self._calls.connections
        timeouts, waits, reads = connections.timeouts, connection.stream.waits, self._reads
        if self._ends and not waits:
            self.finish(CLOSE, now)
            return
        connections.watch(connection, (EPOLLIN if reads else 0) | (EPOLLOUT if waits else 0))
        wait = timeouts.send if waits else timeouts.body if reads and not self.request.is_tunnel else None
        if wait is None:
            timeouts.stop(connection)
        elif connection.wait is not wait:
            if wait is timeouts.body and not self._since:
                self._came, self._since = 0, now
            timeouts.start(connection, wait, now)
        if wait is not timeouts.body:
            self._since = 0

    def _pass_body(self, now: int) -> None:
        """Pass on what was read of the body, as far as there is room. ProtocolError: it is broken."""
        request = self.request
        while not self._has_body and request.wants_more and not request.is_tunnel:
            part = next_part(self._connection)
            if part is None:
                return
            if part:
                request.body(part, now)
            else:
                self._has_body = True
                request.end_body(now)

    # ---- what comes from the other server

    def inform(self, head: ResponseHead) -> bytes:
        if self._call.request.version == "1.0":
            return b""
        return b"HTTP/1.1 %s\r\n%b\r\n" % (head.status.encode(), Head(head.status, head.headers).fields())

    def switch(self, head: ResponseHead) -> None:
        self._call.exchange.status, self._call.exchange.headers = 101, head.headers
        self.raw(switching(head))
        if (rest := self._connection.engine.take_rest()) and not self._is_over:
            self.request.body(rest, monotonic_ns())
        if self._calls.flow.draining:
            self.request.part(monotonic_ns())

    def raw(self, data: bytes) -> None:
        try:
            self._call.stream.write(data)
        except ClientGone:
            self.give_up(monotonic_ns())
            return
        self.go_on(monotonic_ns())

    def raw_end(self) -> None:
        self._ends = True
        self.go_on(monotonic_ns())

    def wants_body(self) -> None:
        if not self._is_over:
            self.go_on(monotonic_ns())

    # ---- the end

    def give_up(self, now: int) -> None:
        """The client is gone, or too slow."""
        self.request.abandon(now)
        self._call.exchange.status = self._call.exchange.status or 499
        write_buffer = self._connection.stream.write_buffer
        if write_buffer is not None:
            write_buffer.abandon()
        self.finish(BREAK, now)

    def finish(self, fate: Fate, now: int) -> None:
        """Let the request flow see to what is left to send, and to the connection."""
        if self._is_over:
            return
        self._is_over = True
        call, connection = self._call, self._connection
        self._calls.open.discard(self)
        connection.passed_on = None
        self._calls.connections.timeouts.stop(connection)
        call.fate = fate
        call.settled = True
        connection.stage = ANSWERING
        if fate is BREAK:
            self._calls.flow.answered(call, now)
        else:
            self._calls.flow.handed_over(call, now)
