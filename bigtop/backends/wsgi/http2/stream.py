# Stream of HTTP/2: one request and its answer, which is what a connection of HTTP/1.1 is to a call.
#
# Rule: who runs the call writes; what stands below "the leader" is the leader's.

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bigtop.backends.native.transport.hangup import Departure
from bigtop.backends.native.transport.transport import READABLE, Bytes
from bigtop.backends.native.transport.write_buffer import ClientGone, WriteBuffer
from bigtop.backends.wsgi.body import Body
from bigtop.backends.wsgi.call import BREAK, Call
from bigtop.backends.wsgi.connections.connection import Connection
from bigtop.backends.wsgi.context import WorkerContext
from bigtop.backends.wsgi.http2.incoming import Incoming
from bigtop.backends.wsgi.http2.link import Link
from bigtop.backends.wsgi.http2.signal import Signal
from bigtop.backends.wsgi.stream import Stream
from bigtop.http.h2.error_codes import INTERNAL_ERROR
from bigtop.http.h2.response_heads import early_hints, frame
from bigtop.http.handlers import FilePart
from bigtop.http.messages import Request
from bigtop.http.response import StreamFraming
from bigtop.ipc.scoreboard import NOWHERE

MULTIPLEXED: Final = -1  # in the place of a descriptor


class StreamOutlet:
    """The way of a write buffer to the client. Where calls do not wait for the leader (Bounds), they do for
    what it tells by `signal`."""

    __slots__ = ("_link", "_number", "signal", "write_event")

    def __init__(self, link: Link, number: int, signal: Signal) -> None:
        self._link = link
        self._number = number
        self.signal = signal
        self.write_event: int = READABLE

    def fileno(self) -> int:
        return self.signal.expect()

    def sendmsg(self, pieces: Sequence[Bytes], more: bool) -> int:
        return self._link.send(self._number, pieces)

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        return self._link.send_file(self._number, fd, offset, count)


class StreamDeparture:
    """Whether the client of a stream has left, or has given it up."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Http2Stream) -> None:
        self._stream = stream

    def is_certain(self, now: int) -> bool:
        return self._stream.is_lost


class Http2Stream(Stream):
    """One of those of `connection`, by its number; it was `opened` when the head of `request` was here."""

    __slots__ = (  # noqa: RUF023 - by owner
        "_has_head", "ended", "is_reset", "link", "number", "signal",
        "body", "call", "connection", "incoming", "opened", "place", "request",
    )  # fmt: skip

    def __init__(self, connection: Connection, link: Link, number: int, request: Request, now: int) -> None:
        context: WorkerContext = connection.context
        Stream.__init__(self, connection.transport, connection.stream.peer, context.leader, context.bounds)
        self.fd = MULTIPLEXED
        self.link = link
        self.number = number
        self._has_head = False  # that of the answer is out
        self.is_reset = False  # the client does not wait for the answer any more
        self.signal = Signal()  # something has come, or gone, that the call waits for
        self.ended = False  # the answer has its end
        self.connection = connection
        self.request = request
        self.opened = now
        self.body: Body | None = None  # that arrives
        self.incoming: Incoming | None = None  # a body that goes on as it comes
        self.call: Call | None = None  # once it waits for the application, until its answer is out
        self.place = NOWHERE  # on the scoreboard, before the application is called

    # ---- who runs the call

    def write(self, data: bytes) -> None:
        self._write(data, sends=True)

    def write_last(self, data: bytes) -> None:
        if self._write(data, sends=False) and not self._leader.hold(self, b""):
            self._send()

    def write_large(self, head: bytes, body: bytes) -> None:
        self._write(body, sends=True)

    def write_file(self, head: bytes, parts: Sequence[bytes | FilePart]) -> None:
        for part in parts:
            self.written += part.count if isinstance(part, FilePart) else len(part)
        self._hand_over(b"", ends=False, sends=False)
        if parts:
            self._put(*parts)

    def finish(self) -> None:
        if not self.ended and not self.waits and self._framing().keep_alive:
            self.end()

    def end(self) -> None:
        """End the answer, whose head may be all of it."""
        self._hand_over(b"", ends=True, sends=True)

    def inform(self, headers: list[tuple[str, str]]) -> None:
        block = early_hints(headers)
        if self.is_lost:
            raise ClientGone
        self.link.interim(self.number, block)
        self._tell()

    def departure(self) -> Departure:
        return StreamDeparture(self)

    @property
    def is_lost(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.is_reset or self.link.is_gone

    def _write(self, data: bytes, *, sends: bool) -> bool:
        """Hand a piece over; return whether nothing of it waits for the leader."""
        self.written += len(data)
        if self.write_buffer is not None:
            self._put(memoryview(data))
            return False
        framing = self._framing()
        taken = self._hand_over(data, ends=framing.left == 0 and framing.keep_alive, sends=sends)
        if taken == len(data):
            return True
        self._put(memoryview(data)[taken:])
        return False

    def _hand_over(self, data: bytes, *, ends: bool, sends: bool) -> int:
        if self.is_reset:
            raise ClientGone
        block = b""
        if not self._has_head:
            self._has_head = True
            framing = self._framing()
            block, _ = frame(framing.head, self.request, framing.stamp, framing.announced)
        taken = self.link.put(self.number, block, data, ends=ends, sends=sends)
        self.ended = ends and taken == len(data)
        if sends:
            self._tell()
        return taken

    def _framing(self) -> StreamFraming:
        call = self.call
        assert call is not None, "who writes has one"
        framing = call.exchange.framing
        assert isinstance(framing, StreamFraming), "the head is out, and of HTTP/2"
        return framing

    def _put(self, *parts: bytes | memoryview | FilePart) -> None:
        if self.is_reset:
            raise ClientGone
        if self._made().put(*parts):
            self._leader.block(self)
        else:
            self._tell()

    def _made(self) -> WriteBuffer:
        if self.write_buffer is None:
            outlet = StreamOutlet(self.link, self.number, self.signal)
            self.write_buffer = WriteBuffer(outlet, self._bounds)
            if self.is_reset:  # meanwhile: abandon() did not see this one, perhaps
                self.write_buffer.abandon()
        return self.write_buffer

    def _send(self) -> None:
        self.link.flush()
        self._tell()

    def _tell(self) -> None:
        """Have the leader send what the client did not take."""
        if self.link.is_blocked:
            self._leader.block(self)

    # ---- the leader

    def deliver(self, data: bytes) -> None:
        self._send()

    def abandon(self) -> None:
        self.is_reset = True
        if self.incoming is not None:
            self.incoming.lose(None)
        self._made().abandon()
        self.signal.give()

    def close(self) -> bool:
        """The call is over and nothing waits: end the answer, well or not, and forget the stream. Returns
        whether the client is still to be told."""
        call, link, tells = self.call, self.link, False
        if call is not None and not self.ended and not self.is_lost:
            framing = call.exchange.framing
            if call.fate is BREAK or framing is None or framing.left or not framing.keep_alive:
                link.reset(self.number, INTERNAL_ERROR)
            else:
                self._hand_over(b"", ends=True, sends=False)
            tells = True
        link.release(self.number)
        self.hide()
        if self.body is not None:
            self.body.discard()
        if self.write_buffer is not None:
            self.write_buffer.close()
        self.signal.close()
        self.call = self.body = self.incoming = self.write_buffer = None
        return tells or not self.request.ended

    def hide(self) -> None:
        if self.place != NOWHERE:
            self.connection.context.slot.leave(self.place)
            self.place = NOWHERE
