# Client that speaks HTTP/2: many requests at a time, each on a stream of its own.
#
# Rule 1: event loop only, so nothing is locked.
# Rule 2: what was read is looked at before any application is called, so many frames of it in one turn of the
# loop: other clients have their share.

from __future__ import annotations

from time import monotonic_ns

from bigtop.backends.asgi.calls.new_call import new_call
from bigtop.backends.asgi.connections.buffered_transport import Duplex
from bigtop.backends.asgi.connections.client_connection import ClientConnection
from bigtop.backends.asgi.context import WorkerContext
from bigtop.backends.asgi.http2.link import Link
from bigtop.backends.asgi.http2.stream import Http2Stream
from bigtop.backends.native.farewells import Asks
from bigtop.backends.native.timeouts import Wait
from bigtop.errors import ProtocolError
from bigtop.http.engine import HEAD, Engine
from bigtop.http.h2.connection import Http2Connection
from bigtop.http.h2.events import StreamData, StreamEnded, StreamEvent, StreamRefused, StreamRequest
from bigtop.http.h2.limits import FRAMES_AT_ONCE
from bigtop.http.h2.response_heads import error_page
from bigtop.http.interfaces.scope import Peer
from bigtop.http.messages import Request
from bigtop.http.paths.routes import RoutedEngine, Routes, elsewhere
from bigtop.log import logger as get_logger

log = get_logger("bigtop.backend")


def begin(context: WorkerContext, before: ClientConnection, peer: Peer, engine: Engine, data: bytes) -> None:
    """Have HTTP/2 spoken instead of what `before` spoke, with an engine. `data` was read of it."""
    routes = engine.routes if isinstance(engine, RoutedEngine) else None
    client = Http2Client(context, before.transport, peer, routes)
    context.replace(before, client)
    client.open(data)


class Http2Client(ClientConnection):
    """The TransportOwner of a transport on which HTTP/2 is spoken, from its preface on. Where `routes` tell
    whose a request is, those of other applications are refused with 421."""

    __slots__ = ("_goes_on", "_head_at", "_http2", "_link", "_peer", "_routes")

    def __init__(self, context: WorkerContext, transport: Duplex, peer: Peer, routes: Routes | None) -> None:
        super().__init__(context, transport)
        limits, now = context.options.limits, monotonic_ns()
        self._peer = peer
        self._routes = routes
        # Other servers are asked for WebSockets by HTTP/1.1; clients come by that, too, if none are offered.
        offers = context.passing_on is None
        self._http2 = Http2Connection(limits, limits.http2, peer.policy, websockets=offers, now=now)
        self._link = Link(transport, self._http2, self._settle)
        self._goes_on = False  # _go_on() will be called
        self._head_at = 0  # since when a head, or the beginning, is awaited
        transport.owner = self

    def open(self, data: bytes) -> None:
        """Begin, with what was read of it."""
        if self._context.draining:
            self._http2.drain(monotonic_ns())
        self.transport.resume()
        if data:
            self.received(data)
        else:
            self._link.need()

    # ---- what the client says

    def received(self, data: bytes) -> None:
        self._context.metrics.bytes_in += len(data)
        self._link.need()
        if not self._lingering:
            now = monotonic_ns()
            self._take(self._http2.feed(data, now, FRAMES_AT_ONCE), now)

    def _go_on(self) -> None:
        """Look at more of what was read."""
        self._goes_on = False
        if self._http2.has_more and not self._link.is_closed:
            self.received(b"")

    def _take(self, events: list[StreamEvent], now: int) -> None:
        begun = [stream for event in events if (stream := self._taken(event, now)) is not None]
        for stream in begun:
            stream.start()

    def _taken(self, event: StreamEvent, now: int) -> Http2Stream | None:
        """Take an event; return the stream if it begins with that."""
        if isinstance(event, StreamRequest):
            return self._request(event.stream, event.request, now)
        stream = self._link.streams.get(event.stream)
        if isinstance(event, StreamRefused):
            if stream is not None:
                stream.refuse(event.error)
            else:
                self._refused(event, now)
        elif stream is None:
            pass  # it was answered meanwhile
        elif isinstance(event, StreamData):
            stream.received(event.data)
        elif isinstance(event, StreamEnded):
            stream.body_ended()
        else:
            if event.reason:
                log.debug("a stream of HTTP/2 is reset: %s", event.reason)
            stream.leave()
        return None

    def _request(self, number: int, request: Request, now: int) -> Http2Stream | None:
        if self._routes is not None and (error := elsewhere(self._routes, request)) is not None:
            self._refuse(number, request, error, now)
            return None
        stream = Http2Stream(self._link, number, self._context)
        call = new_call(self._context, stream, stream, self._peer, request)
        if call is None:
            from bigtop.backends.asgi.http2.websockets import (
                open_tunnel,  # here, with the libraries that it needs
            )

            open_tunnel(self._link, number, self._context, self._peer, request)
            return None
        self._link.streams[number] = stream
        stream.serve(call)
        return stream

    def _refused(self, event: StreamRefused, now: int) -> None:
        request = event.request or Request("", b"")
        request.version = "2"
        if event.is_open:
            self._refuse(event.stream, request, event.error, now)
        else:
            self._context.metrics.refused(request, event.error.status, b"", self._peer, now)

    def _refuse(self, number: int, request: Request, error: ProtocolError, now: int) -> None:
        """Answer with an error of the server's own."""
        context, http2 = self._context, self._http2
        block, body = error_page(error, context.stamps.now(), request.method)
        http2.head(number, block, ends=not body)
        if body:
            http2.write(number, body, ends=True)
        http2.release(number)
        context.metrics.refused(request, error.status, b"\r\n\r\n" + body, self._peer, now)

    # ---- what comes next

    def _settle(self) -> None:
        """Read or not, and by when something has to come."""
        http2, transport = self._http2, self.transport
        if self._lingering or self._link.is_closed:
            return
        if http2.is_over and not http2.has_output and not transport.waiting:
            if http2.error is not None:
                log.debug("%s: the connection ends: %s", self._peer.address, http2.error)
            self.linger()
            return
        now = monotonic_ns()
        if not (self._context.timers.keeps or self._link.streams or http2.is_draining):
            http2.drain(now)
            self._link.need()
        if http2.is_choked:
            transport.pause()
        elif http2.has_more:
            transport.pause()
            if not self._goes_on:
                self._goes_on = True
                transport.turn.loop.call_soon(self._go_on)
        else:
            transport.resume()
        self._clock(now)

    def _clock(self, now: int) -> None:
        """While something is under way it is looked after each second; who only waits has a time for that."""
        timers = self._context.timers
        self._head_at = (self._head_at or now) if self._http2.phase is HEAD else 0
        if self.wait is timers.look or self.wait is timers.send:
            return  # what it is to wait for then is seen when that is over
        if self._link.streams or self._head_at or self._http2.is_draining:
            timers.start(self, timers.look, now)
        elif self.wait is not timers.idle or not timers.idle.is_fresh(self, now):
            timers.start(self, timers.idle, now)

    def progressed(self) -> None:
        super().progressed()
        if not self._link.is_closed and not self.transport.waiting:
            self._link.need()

    # ---- time, and the end

    def late(self, wait: Wait) -> None:
        timers, now = self._context.timers, monotonic_ns()
        if wait is timers.look:
            longest = timers.head.length
            if self._head_at and 0 < longest <= now - self._head_at:
                self._leave_all()
                self.linger()
                return
            self._take(self._http2.expire(now), now)
            self._link.need()
        elif wait is not timers.idle:
            self.cut()
        elif self.transport.has_input():  # it came just now
            timers.start(self, wait, now)
        else:
            self._http2.drain(now)
            self._link.need()

    def drain(self, asks: Asks) -> None:
        for stream in list(self._link.streams.values()):
            stream.drain(asks)
        self._http2.drain(monotonic_ns())
        self._link.need()

    def lost(self) -> None:
        if self._link.is_closed:
            return
        self._link.is_closed = True
        self._leave_all()
        super().lost()

    def _leave_all(self) -> None:
        for stream in list(self._link.streams.values()):
            stream.leave()
