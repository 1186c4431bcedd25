# Streams of one connection: which there are, and which there were (RFC 9113, 5.1).

from __future__ import annotations

from typing import Final

from bigtop.http.h2.error_codes import PROTOCOL_ERROR, STREAM_CLOSED, Http2Error
from bigtop.http.h2.streams.stream import Stream

_KEPT: Final = 512  # streams of which is remembered that we ended them
_GAPS: Final = 32  # of numbers that a client left out


class Streams:
    """`open` are those that take up a place; `last` is the last one that the client opened."""

    __slots__ = ("_ended", "_gaps", "last", "open", "websockets")

    def __init__(self) -> None:
        self.open: dict[int, Stream] = {}
        self.last = 0
        self.websockets = 0  # of those that are open
        self._ended: dict[int, bool] = {}
        self._gaps: list[tuple[int, int]] = []

    def begin(self, number: int) -> None:
        """The client opens a stream: not before the last one."""
        if number != self.last + 2 and number != 1:
            self._gaps.append((self.last, number))
            del self._gaps[:-_GAPS]
        self.last = number

    def add(self, stream: Stream) -> None:
        self.open[stream.number] = stream
        if stream.is_websocket:
            self.websockets += 1

    def remove(self, stream: Stream) -> None:
        """A stream is over: its call, and its answer. What the client has still to say of it is ignored if it
        could not know."""
        if self.open.pop(stream.number, None) is None:
            return
        if stream.open_in:
            self.ended(stream.number)
        if stream.is_websocket:
            self.websockets -= 1

    def ended(self, number: int) -> None:
        """We ended a stream that the client may still speak of."""
        self._ended[number] = True
        if len(self._ended) > _KEPT:
            del self._ended[next(iter(self._ended))]

    def ignores(self, number: int) -> bool:
        """Whether what comes of a stream that is not open is no error; Http2Error if it never was."""
        if number > self.last or not number % 2:
            raise Http2Error(PROTOCOL_ERROR, f"stream {number} was never opened")
        return number in self._ended

    def check_closed(self, number: int) -> None:
        """Refuse a head of a stream that was over, or left out; but for one that we ended."""
        if not self.ignores(number):
            if any(before < number < behind for before, behind in self._gaps):
                raise Http2Error(PROTOCOL_ERROR, f"stream {number} is opened behind stream {self.last}")
            raise Http2Error(STREAM_CLOSED, f"a head comes of stream {number}, which is over")
