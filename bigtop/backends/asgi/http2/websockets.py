# WebSockets on streams of HTTP/2 (RFC 8441): the DATA of such a stream is what a connection is elsewhere.

from __future__ import annotations

from time import monotonic_ns
from typing import Final

from bigtop.backends.asgi.connections.buffered_transport import Duplex
from bigtop.backends.asgi.context import WorkerContext
from bigtop.backends.asgi.http2.link import Link
from bigtop.backends.asgi.loop.waiters import Waiters
from bigtop.backends.asgi.websockets.websocket import WebSocket
from bigtop.backends.asgi.websockets.websocket_call import WebSocketCall
from bigtop.backends.native.farewells import Asks
from bigtop.errors import ProtocolError
from bigtop.http.h2.error_codes import CANCEL
from bigtop.http.h2.response_heads import frame
from bigtop.http.handlers import FilePart
from bigtop.http.interfaces.asgi import Answer
from bigtop.http.interfaces.scope import Peer
from bigtop.http.messages import Request
from bigtop.http.response import Head, StreamFraming
from bigtop.http.websocket import agreed

SMALL: Final = 16384  # bytes that may wait for the windows as if they were out


def open_tunnel(link: Link, number: int, context: WorkerContext, peer: Peer, request: Request) -> None:
    """Ask the application whether it takes a WebSocket."""
    tunnel = Tunnel(link, number, context)
    socket = WebSocket(context, tunnel)
    call = Http2WebSocketCall(context, socket, tunnel, peer, request)
    tunnel.socket = socket
    tunnel.answer = call.answer
    link.streams[number] = tunnel
    socket.open(b"", call.lost)
    call.start()


class Tunnel(Duplex):
    """A stream of a `link` on which no HTTP is spoken any more."""

    __slots__ = (
        "_context",
        "_ended",
        "_has_head",
        "_is_paused",
        "_link",
        "_untaken",
        "_waited",
        "_waiters",
        "answer",
        "number",
        "request",
        "socket",
    )

    def __init__(self, link: Link, number: int, context: WorkerContext) -> None:
        Duplex.__init__(self, link.transport.raw, link.transport.turn)
        self._link = link
        self._context = context
        self.number = number
        self.answer: Answer | None = None  # to the request
        self.request = Request("CONNECT")
        self.socket: WebSocket | None = None
        self._has_head = False  # that is out
        self._is_paused = False
        self._ended = False
        self._untaken = 0  # bytes that came while it was paused
        self._waited = 0  # bytes that waited when something went out
        self._waiters = Waiters(context.loop)

    # ---- the client

    def received(self, data: bytes) -> None:
        self._untaken += len(data)
        self._context.metrics.bytes_in -= len(data)  # the connection counted it, and the WebSocket does
        self.owner.received(data)
        if not self._is_paused:
            self.resume()

    def body_ended(self) -> None:
        self.at_end = True
        self.owner.ended()

    def refuse(self, error: ProtocolError) -> None:
        self.leave()

    def leave(self) -> None:
        """Nobody is there any more."""
        if not self.gone:
            self._ended = True
            self.close()
            self.owner.lost()

    def drain(self, asks: Asks) -> None:
        if self.socket is not None:
            self.socket.drain(asks)

    def progressed(self) -> None:
        if self.gone:
            return
        waiting, before = self.waiting, self._waited
        self._waited = waiting
        if not waiting:
            self._link.held.pop(self.number, None)
            self._waiters.wake()
            self.owner.progressed()
        elif waiting < before and self.socket is not None:
            timers = self._context.timers
            if self.socket.wait is timers.send:  # it is slow, but it goes on
                timers.start(self.socket, timers.send, monotonic_ns())

    # ---- the WebSocket

    def pause(self) -> None:
        self._is_paused = True

    def resume(self) -> None:
        self._is_paused = False
        if self._untaken and not self.gone:
            self._link.http2.taken(self.number, self._untaken)
            self._untaken = 0
            self._link.need()

    def invite(self) -> None:
        raise NotImplementedError("a WebSocket has no body to ask for")

    def inform(self, headers: list[tuple[str, str]]) -> None:
        raise NotImplementedError("nobody asks for hints beside a WebSocket")

    @property
    def waiting(self) -> int:
        size = self._link.http2.waiting(self.number) if not self.gone else 0
        return size if size > SMALL else 0

    def head(self, block: bytes) -> None:
        """Answer the request with 200."""
        self._has_head = True
        self._link.http2.head(self.number, block)
        self._link.need()

    def write(self, data: bytes) -> None:
        if self.gone or self._ended:
            return
        http2, answer = self._link.http2, self.answer
        if not self._has_head and answer is not None and isinstance(answer.framing, StreamFraming):
            framing = answer.framing
            block, _ = frame(framing.head, self.request, framing.stamp, framing.announced)
            self.head(block)
        if data:
            http2.write(self.number, data)
            if self.waiting:
                self._link.held[self.number] = self
        self._link.need()

    def write_between(self, before: bytes, part: FilePart | bytes, after: bytes) -> None:
        raise NotImplementedError("a WebSocket sends frames")

    async def room(self) -> None:
        while self._link.http2.waiting(self.number) > self.turn.limit:
            self._link.held[self.number] = self
            await self._waiters.wait()

    async def flushed(self) -> None:
        raise NotImplementedError("a WebSocket sends no files")

    def end_output(self) -> None:
        if not self.gone and not self._ended:
            self._ended = True
            if self._has_head:
                self._link.http2.write(self.number, b"", ends=True)
            self._link.need()

    def close(self, *, reset: bool = False) -> None:
        if self.gone:
            return
        if not self._ended or reset:
            self._link.http2.reset(self.number, CANCEL)
        self.gone = True
        self._link.close(self.number)
        self._waiters.wake()


class Http2WebSocketCall(WebSocketCall):
    """What is answered with 200, since the stream goes on."""

    __slots__ = ("_tunnel",)

    def __init__(
        self, context: WorkerContext, socket: WebSocket, tunnel: Tunnel, peer: Peer, request: Request
    ) -> None:
        super().__init__(context, socket, peer, request)
        self._tunnel = tunnel
        tunnel.request = request

    def _switch(self, subprotocol: str | None, extensions: str, fields: list[tuple[str, str]]) -> None:
        head = Head("200 OK", agreed(subprotocol, extensions, fields))
        block, _ = frame(head, self.request, self._context.stamps.now())
        self.answer.status = 200
        self._tunnel.head(block)
