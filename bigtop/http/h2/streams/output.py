# Output of an HTTP/2 connection: which frame goes out next.
#
# Rule 1: control frames first, then heads, then bodies, as far as both windows let them (RFC 9113, 5.2).
# Rule 2: of bodies those of the smallest urgency (RFC 9218); among these the streams take turns, a frame
# each, but that a stream which is not incremental has its turn until it has nothing more.
# Rule 3: nothing is made before it can go out, so that a stream which ends leaves nothing behind.

from __future__ import annotations

from typing import Final

from bigtop.http.h2.error_codes import FLOW_CONTROL_ERROR, NO_ERROR, PROTOCOL_ERROR, Http2Error, StreamError
from bigtop.http.h2.frames import (
    DATA,
    END_STREAM,
    FIRST_WINDOW,
    MOST_PAYLOAD,
    MOST_WINDOW,
    frame_head,
    headers,
    rst_stream,
)
from bigtop.http.h2.streams.priority import LEVELS, Priority
from bigtop.http.h2.streams.stream import Stream

# A DATA frame of so many bytes gives cause for some WINDOW_UPDATEs, a smaller one for none: so a client gets
# nowhere by opening its window by a byte each time (CVE-2019-9511).
_WORTH: Final = 1024
_MOST_CAUSES: Final = 4096
_READ_AHEAD: Final = 65536  # bytes of a file that room() lets somebody read at once


class Output:
    """`done` are the streams whose end went out, for the owner to take; `causes` how many WINDOW_UPDATEs the
    client may send without being counted."""

    __slots__ = ("_control", "_heads", "_levels", "causes", "done", "initial", "sent", "unsent", "window")

    def __init__(self, first: bytes) -> None:
        self._control = [first]
        self._heads: list[Stream] = []
        self._levels: list[list[Stream]] = [[] for _ in range(LEVELS)]
        self.window = FIRST_WINDOW
        self.initial = FIRST_WINDOW  # of streams
        self.unsent = 0  # bytes of control frames
        self.sent = 0  # bytes of bodies
        self.causes = 16
        self.done: list[Stream] = []

    # ---- what is to go out

    def control(self, data: bytes) -> None:
        self._control.append(data)
        self.unsent += len(data)

    def head(self, stream: Stream, block: bytes, *, ends: bool) -> None:
        """A head; `ends`: nothing follows."""
        if ends:
            stream.ends = True
        self._soon(stream, headers(stream.number, block, END_STREAM if ends else 0))

    def write(self, stream: Stream, data: bytes, *, ends: bool) -> None:
        if ends:
            stream.ends = True
        if data:
            stream.backlog.put(data)
            self._queue(stream)
        elif ends and not stream.backlog.size:
            self._soon(stream, frame_head(DATA, END_STREAM, stream.number, 0))

    def trailers(self, stream: Stream, block: bytes) -> None:
        stream.ends = True
        stream.trailers = headers(stream.number, block, END_STREAM)
        if not stream.backlog.size:
            self._soon(stream, stream.trailers)

    def _soon(self, stream: Stream, frames: bytes) -> None:
        if not stream.frames:
            self._heads.append(stream)
            stream.frames = frames
        else:
            stream.frames += frames

    def _queue(self, stream: Stream) -> None:
        if not stream.is_queued and stream.window > 0:
            self._levels[stream.priority.urgency].append(stream)
            stream.is_queued = True

    def drop(self, stream: Stream) -> None:
        """Forget what was to go out of a stream."""
        if stream.frames:
            self._heads.remove(stream)
            stream.frames = b""
        self._unqueue(stream)
        stream.backlog.clear()
        stream.trailers = b""

    def _unqueue(self, stream: Stream) -> None:
        if stream.is_queued:
            self._levels[stream.priority.urgency].remove(stream)
            stream.is_queued = False

    def prioritize(self, stream: Stream, priority: Priority) -> None:
        self._unqueue(stream)
        stream.priority = priority
        if stream.backlog.size:
            self._queue(stream)

    # ---- windows

    def open(self, size: int) -> None:
        """The client opens the window of the connection."""
        self.window += size
        if self.window > MOST_WINDOW:
            raise Http2Error(FLOW_CONTROL_ERROR, "the window of the connection is too large")

    def open_stream(self, stream: Stream, size: int) -> None:
        if size == 0:
            raise StreamError(PROTOCOL_ERROR, "WINDOW_UPDATE of nothing")
        stream.window += size
        if stream.window > MOST_WINDOW:
            raise StreamError(FLOW_CONTROL_ERROR, "the window of the stream is too large")
        if stream.backlog.size:
            self._queue(stream)

    def resize(self, streams: list[Stream], initial: int) -> None:
        """The client changes the window that streams begin with, and so that of all there are."""
        change, self.initial = initial - self.initial, initial
        for stream in streams:
            stream.window += change
            if stream.window > MOST_WINDOW:
                raise Http2Error(FLOW_CONTROL_ERROR, "the window of a stream is too large")
            if stream.window <= 0:
                self._unqueue(stream)
            elif stream.backlog.size:
                self._queue(stream)

    def room(self, stream: Stream) -> int:
        """Return how many bytes more of a stream would go out now."""
        before = 0
        for urgency in range(stream.priority.urgency + 1):
            for other in self._levels[urgency]:
                if other is not stream:
                    before += min(other.backlog.size, other.window)
        own = min(stream.window, self.window - before) - stream.backlog.size
        return max(0, min(own, _READ_AHEAD - stream.backlog.size))

    # ---- what goes out

    @property
    def is_empty(self) -> bool:
        if self._control or self._heads:
            return False
        return self.window <= 0 or not any(self._levels)

    def take(self, most: int) -> bytes:
        """Return the next frames, `most` bytes of bodies at least if there are so many."""
        parts, self._control = self._control, []
        self.unsent = 0
        if self._heads:
            heads, self._heads = self._heads, []
            for stream in heads:
                parts.append(stream.frames)
                stream.frames = b""
                if stream.ends and not stream.backlog.size:
                    self._end(stream, parts)
        size = 0
        for level in self._levels:
            while level and size < most and self.window > 0:
                stream = level[0]
                size += self._data(stream, parts)
                if not stream.backlog.size or stream.window <= 0:
                    del level[0]
                    stream.is_queued = False
                elif len(level) > 1 and stream.priority.incremental:
                    del level[0]
                    level.append(stream)
        return b"".join(parts)

    def _data(self, stream: Stream, parts: list[bytes]) -> int:
        """Send one DATA frame; return its size."""
        size = min(stream.backlog.size, stream.window, self.window, MOST_PAYLOAD)
        payload = stream.backlog.cut(size)
        stream.window -= size
        self.window -= size
        stream.sent += size
        self.sent += size
        ends = stream.ends and not stream.backlog.size
        if size >= _WORTH or not stream.backlog.size:
            self.causes = min(_MOST_CAUSES, self.causes + 4)
        flags = END_STREAM if ends and not stream.trailers else 0
        parts.append(frame_head(DATA, flags, stream.number, size))
        parts.append(payload)
        if ends:
            if stream.trailers:
                parts.append(stream.trailers)
            self._end(stream, parts)
        return size

    def _end(self, stream: Stream, parts: list[bytes]) -> None:
        stream.closed = True
        self.done.append(stream)
        if stream.open_in and not stream.is_websocket:  # RFC 9113, 8.1: the rest of the request is not wanted
            parts.append(rst_stream(stream.number, NO_ERROR))
