# Flow control: how much one client of the control channel may have on its way into ZeroMQ.
#
# ZeroMQ bounds single frames, but collects the frames of a message until the last one has come, and
# subscriptions for as long as it is told new ones. So the bytes of a client are counted before ZeroMQ has
# them, and taken off again when they have come out as a message.
#
# Rules: pure; time is an argument. Only the framing of ZMTP 3 (RFC 23 and 37) is looked at, because with
# CURVE everything else is encrypted: a frame inside is smaller than the one that carries it. Thus the count
# may be too high, never too low.

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

_GREETING = 64
_MAJOR = 10  # where its version stands
_LARGE = 2  # flags of a frame: its length has eight bytes
_OVERHEAD = 64  # bytes at most that a frame on the wire has more than what is in it
_KEPT = 64  # bytes that the smallest frame costs in ZeroMQ
_HEARTBEAT = 64  # bytes of a frame that may be a heartbeat, which never comes out


class FloodError(Exception):
    """What the client sends is refused, and why; the connection ends."""


class FlowControl:
    """`largest` is the size of a frame, `room` of everything that is under way, in bytes."""

    def __init__(self, largest: int, room: int) -> None:
        self._largest = largest
        self._room = room
        self._frames: deque[tuple[int, float]] = deque()  # size and when it came
        self._size = 0
        self._greeting = b""
        self._head = b""  # the beginning of a frame, while it is not whole
        self._body = 0  # bytes of the frame that are still to come

    @property
    def is_full(self) -> bool:
        return self._size > self._room

    def feed(self, data: bytes, now: float) -> None:
        """Take in what the client sent; FloodError when it may not be passed on."""
        if len(self._greeting) < _GREETING:
            missing = _GREETING - len(self._greeting)
            self._greeting, data = self._greeting + data[:missing], data[missing:]
            if self._greeting[:1] != b"\xff" or (self._greeting[_MAJOR : _MAJOR + 1] or b"\3") < b"\3":
                raise FloodError("it does not speak ZMTP 3")
        at = 0
        while at < len(data):
            if self._body:
                skipped = min(self._body, len(data) - at)
                self._body -= skipped
                at += skipped
                continue
            first = self._head or data[at : at + 1]
            missing = (9 if first[0] & _LARGE else 2) - len(self._head)
            self._head += data[at : at + missing]
            if len(data) - at >= missing:
                self._begin(int.from_bytes(self._head[1:]), now)
            at += missing

    def _begin(self, size: int, now: float) -> None:
        if size > self._largest + _OVERHEAD:
            raise FloodError(f"a frame of {size} bytes, more than {self._largest}")
        self._head, self._body = b"", size
        self._frames.append((size, now))
        self._size += size + _KEPT

    def took(self, sizes: Iterable[int]) -> None:
        """These frames came out, in the order in which they were sent."""
        for size in sizes:
            while self._frames and not size <= self._drop() <= size + _OVERHEAD:
                pass

    def _drop(self) -> int:
        size, _ = self._frames.popleft()
        self._size -= size + _KEPT
        return size

    def forgive_heartbeats(self, now: float) -> None:
        """Forget what is no more than heartbeats come in a quiet connection: one a second."""
        if all(size <= _HEARTBEAT for size, _ in self._frames):
            while self._frames and now - self._frames[0][1] > len(self._frames):
                self._drop()
