# Upstream calls: requests that other servers answer (--proxy), in the native ASGI server.
#
# Rule 1: to a client such a request is what an application does: a task that takes the body by receive() and
# answers by send(), with everything that follows from that: filters, slow clients, who has left.
# Rule 2: --timeout and --limit-concurrency are about the application, and mean nothing here.
# Rule 3: of a WebSocket the handshake is a request like others (scoreboard, access log); what follows is not.

from __future__ import annotations

import asyncio
import select
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, Final, cast

from bigtop.backends.asgi.calls.call import Call
from bigtop.backends.asgi.calls.disconnect import ClientDisconnected
from bigtop.backends.asgi.connections.buffered_transport import BufferedTransport
from bigtop.backends.asgi.connections.connection import Connection
from bigtop.backends.asgi.context import WorkerContext
from bigtop.backends.asgi.loop.waiters import Waiters
from bigtop.backends.asgi.upstream.tunnel import Tunnel
from bigtop.backends.native.timeouts import NEVER, SECOND
from bigtop.backends.native.upstream.upstream_request import UpstreamRequest
from bigtop.backends.native.upstream.upstreams import Upstreams
from bigtop.backends.serve_options import ProxyOptions
from bigtop.errors import ProtocolError
from bigtop.http.declarations import ProxyRoute
from bigtop.http.messages import END
from bigtop.http.upstream.response_reader import ResponseEvent, ResponseHead, switching
from bigtop.system.clock import monotonic_ns

EPOLLIN: Final[int] = select.EPOLLIN
EPOLLOUT: Final[int] = select.EPOLLOUT
_EARLY: Final = SECOND // 500  # as in timers.py


class LoopReactor:
    """The event loop, as upstreams know it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._at = NEVER
        self.upstreams: Upstreams

    def watch(self, fd: int, interest: int, before: int) -> None:
        loop = self._loop
        for event, add, remove in (
            (EPOLLIN, loop.add_reader, loop.remove_reader),
            (EPOLLOUT, loop.add_writer, loop.remove_writer),
        ):
            if interest & event and not before & event:
                Context().run(add, fd, self._on_event, fd)  # in no context: see transport_events.py
            elif before & event and not interest & event:
                remove(fd)

    def wake(self, at: int) -> None:
        if at < self._at:
            self._at = at
            if self._timer is not None:
                self._timer.cancel()
            delay = max(0.0, (at - monotonic_ns()) / SECOND)
            self._timer = self._loop.call_later(delay, self._ring, context=Context())

    def _ring(self) -> None:
        self._timer, self._at = None, NEVER
        self.upstreams.expire(monotonic_ns() + _EARLY)

    def _on_event(self, fd: int) -> None:
        self.upstreams.on_event(fd, monotonic_ns())


class UpstreamCalls:
    """All of a worker."""

    def __init__(self, options: ProxyOptions, context: WorkerContext) -> None:
        reactor = LoopReactor(context.loop)
        self._context = context
        self._upstreams = reactor.upstreams = Upstreams(options, reactor)

    def begin(self, call: Any, route: ProxyRoute) -> None:
        """Let the server of `route` answer a call, where no task runs."""
        self._context.tasks.run(self.answer(call, route), call)

    def answer(self, call: Any, route: ProxyRoute) -> Coroutine[Any, Any, None]:
        """Return what does that in a task."""
        one = UpstreamCall(self._context, call)
        request = call.request
        if request.upgrade is not None:
            call.stream.pause()  # what comes now is of the other protocol, perhaps
        one.request = self._upstreams.request(request, call.peer, route, one, call.request_id)
        return one.run()


class UpstreamCall:
    """One request, and the task that answers it."""

    def __init__(self, context: WorkerContext, call: Call) -> None:
        self._context = context
        self._call = call
        self._events: list[ResponseEvent] = []
        self._raw: list[bytes] = []  # what came behind a switch
        self._size = 0  # bytes of what the task has not sent yet
        self._waiters = Waiters(context.loop)
        self._error: ProtocolError | None = None
        self._is_broken = False
        self._switch: ResponseHead | None = None
        self._is_handed_over = False  # to a tunnel
        self.request: UpstreamRequest  # set before anything happens

    async def run(self) -> None:
        """Answer."""
        call = self._call
        self.request.start(monotonic_ns())
        pump = self._context.loop.create_task(self._pump())
        try:
            await self._answer()
        except ClientDisconnected:
            pass
        except BaseException as error:
            # As in an application call: it must cost this one request only.
            call.failed(error)
        finally:
            pump.cancel()
        if not self._is_handed_over:
            self.request.abandon(monotonic_ns())
            if not (call.gone or call.answer.complete):  # its client has ended its side in the middle
                call.owner.cut()

    # ---- the client

    async def _pump(self) -> None:
        """Pass on the body, and the news that the client has left."""
        call, request, more = self._call, self.request, True
        while not request.is_over:
            message = await call.receive()
            if message["type"] != "http.request":
                if call.gone or more:
                    request.abandon(monotonic_ns())
                    self._waiters.wake()
                return
            request.body(message["body"], monotonic_ns())
            if not message["more_body"]:
                more = False
                request.end_body(monotonic_ns())
            while more and not (request.wants_more or request.is_over):
                await self._waiters.wait()

    async def _answer(self) -> None:
        while True:
            events, self._events = self._events, []
            if await self._send(events):
                return
            self._size -= sum(len(event) for event in events if isinstance(event, bytes))
            self.request.resume(monotonic_ns())
            if self._events:
                continue
            if self._switch is not None:
                self._open_tunnel(self._switch)
                return
            if self._error is not None:
                self._call.answer_for(self._error.status, str(self._error))
                return
            if self._is_broken:
                self._call.gone = True
                self._call.owner.give_up(self._call)
                return
            if self.request.is_over:  # abandoned
                return
            await self._waiters.wait()

    async def _send(self, events: list[ResponseEvent]) -> bool:
        """Send what came; whether that was the last of it."""
        call = self._call
        for index, event in enumerate(events):
            if isinstance(event, ResponseHead):
                await self._send_head(event)
                if index == len(events) - 1 and event.code >= 200:  # nobody knows when a body comes
                    await call.send({"type": "http.response.body", "body": b"", "more_body": True})
            elif isinstance(event, bytes):
                is_last = index == len(events) - 2 and events[-1] is END
                await call.send({"type": "http.response.body", "body": event, "more_body": not is_last})
                if is_last:
                    return True
            else:
                await call.send({"type": "http.response.body", "body": b"", "more_body": False})
                return True
            if call.gone and not call.answer.complete:
                raise ClientDisconnected("the client has left")
        return False

    async def _send_head(self, head: ResponseHead) -> None:
        if head.code < 200:
            links = [value.encode("latin-1") for name, value in head.headers if name.lower() == "link"]
            await self._call.send({"type": "http.response.early_hint", "links": links})
            return
        fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in head.headers]
        await self._call.send({"type": "http.response.start", "status": head.code, "headers": fields})

    def _open_tunnel(self, head: ResponseHead) -> None:
        call, context = self._call, self._context
        if call.gone:
            return
        connection = cast(Connection, call.owner)
        data = switching(head)
        call.answer.status, call.answer.headers = 101, head.headers
        call.bytes_out += len(data)
        tunnel = Tunnel(context, cast(BufferedTransport, call.stream), self.request)
        connection.is_over = True  # somebody else speaks to the client from here on
        rest = connection.engine.take_rest()
        context.replace(connection, tunnel)
        self.request.client = tunnel
        self._is_handed_over = True
        tunnel.transport.write(data)
        context.metrics.answered(call)
        for data in self._raw:
            tunnel.raw(data)
        tunnel.open(rest)
        if self._is_broken:
            tunnel.raw_end()
        self.request.resume(monotonic_ns())

    # ---- what comes from the other server

    def take(self, events: list[ResponseEvent]) -> None:
        self._events += events
        for event in events:
            if isinstance(event, bytes):
                self._size += len(event)
        self._waiters.wake()

    def fail(self, error: ProtocolError) -> None:
        self._error = error
        self._waiters.wake()

    def break_off(self) -> None:
        self._is_broken = True
        self._waiters.wake()

    def switch(self, head: ResponseHead) -> None:
        self._switch = head
        self._waiters.wake()

    def raw(self, data: bytes) -> None:
        self._raw.append(data)
        self._size += len(data)
        self._waiters.wake()

    def raw_end(self) -> None:
        self.break_off()

    def is_full(self) -> bool:
        return self._size > 0 and self._size >= self._context.options.limits.send_memory

    def wants_body(self) -> None:
        self._waiters.wake()
