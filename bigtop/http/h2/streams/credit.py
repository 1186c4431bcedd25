# Credit of a client: how many bytes of bodies it may send (RFC 9113, 5.2).
#
# Rule: every byte of DATA is credited again once: when it is taken, or when nobody will take it. Not at once,
# but half a window at a time, so that credit costs a frame now and then.

from __future__ import annotations

from typing import Final

from bigtop.http.h2.error_codes import FLOW_CONTROL_ERROR, Http2Error, StreamError
from bigtop.http.h2.frames import window_update
from bigtop.http.h2.limits import Http2Limits
from bigtop.http.h2.streams.output import Output
from bigtop.http.h2.streams.stream import UNKNOWN, Stream


class Credit:
    """That of one connection, `left` of it; each stream has its own besides."""

    __slots__ = ("_output", "_owed", "_stream_window", "_window", "left")

    def __init__(self, h2: Http2Limits, output: Output) -> None:
        self._output = output
        self._window: Final = h2.window_of_all
        self._stream_window: Final = h2.stream_window
        self.left = self._window
        self._owed = 0

    def spend(self, size: int) -> None:
        """So many bytes came, padding included."""
        self.left -= size
        if self.left < 0:
            raise Http2Error(FLOW_CONTROL_ERROR, "more DATA came than the window of the connection allows")

    def spend_of(self, stream: Stream, size: int) -> None:
        stream.credit -= size
        if stream.credit < 0:
            raise StreamError(FLOW_CONTROL_ERROR, "more DATA came than the window of the stream allows")

    def owe(self, size: int) -> None:
        """Nobody needs the room of so many bytes any more."""
        self._owed += size
        if self._owed * 2 >= self._window:
            self._output.control(window_update(0, self._owed))
            self.left += self._owed
            self._owed = 0

    def forget(self, stream: Stream) -> None:
        """Nobody will take what came of a body."""
        self.owe(stream.untaken)
        stream.untaken = 0

    def taken(self, stream: Stream, size: int) -> None:
        """Somebody took so many bytes of a body."""
        size = min(size, stream.untaken)
        stream.untaken -= size
        self.owe(size)
        owed = self._stream_window - stream.credit - stream.untaken
        if not stream.open_in or owed * 2 < self._stream_window:
            return
        if stream.expected == UNKNOWN or stream.expected > stream.credit:
            self._output.control(window_update(stream.number, owed))
            stream.credit += owed
