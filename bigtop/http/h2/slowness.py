# Slowness of a client of HTTP/2: streams that take up a place and do not move.
#
# Rule 1: a client is slow where it could move something: bytes wait for its window, or it may send and does
# not. Who waits for us, or for other streams, is not (half of an "HTTP/2 bomb", CVE-2026-49975, is to hold).
# Rule 2: it is looked at now and then, so that bytes which move cost nothing; times are off by one look.

from __future__ import annotations

from typing import Final

from bigtop.errors import ProtocolError
from bigtop.http.h2.budget import SECOND
from bigtop.http.h2.error_codes import CANCEL, NO_ERROR, Http2Error, StreamError
from bigtop.http.h2.requests import Requests
from bigtop.http.h2.streams.output import Output
from bigtop.http.h2.streams.registry import Streams
from bigtop.http.h2.streams.stream import Stream
from bigtop.http.limits import Limits

_GRACE: Final = 5 * SECOND  # in which nobody need be fast, as in backends/native/timeouts.py


class _Pace:
    """How something moves that could move: `size` bytes at `moved`, which was the last time that it did, and
    `first` of them when it `began` to be looked at."""

    __slots__ = ("began", "first", "moved", "size")

    def __init__(self, size: int, now: int) -> None:
        self.first = self.size = size
        self.began = self.moved = now

    def is_slow(self, size: int, now: int, timeout: int, rate: int) -> bool:
        if size != self.size:
            self.size = size
            self.moved = now
        if 0 < timeout <= now - self.moved:
            return True
        return (size - self.first) * SECOND < rate * (now - self.began - _GRACE)


class Slowness:
    """The paces of one connection: of what goes out, by streams and altogether, and of bodies."""

    __slots__ = ("_all", "_in", "_limits", "_out", "_timeout_in", "_timeout_out")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._timeout_in = int(limits.body_timeout * SECOND)
        self._timeout_out = int(limits.send_timeout * SECOND)
        self._all: _Pace | None = None
        self._in: dict[int, _Pace] = {}
        self._out: dict[int, _Pace] = {}

    def look(self, requests: Requests, output: Output, now: int) -> None:
        """Refuse and reset the streams that are too slow; Http2Error if the whole connection is."""
        self._look_at_all(requests.streams, output, now)
        ins: dict[int, _Pace] = {}
        outs: dict[int, _Pace] = {}
        for stream in list(requests.streams.open.values()):
            number = stream.number
            if stream.backlog.size and stream.window <= 0:
                outs[number] = pace = self._out.get(number) or _Pace(stream.sent, now)
                if pace.is_slow(stream.sent, now, self._timeout_out, self._limits.send_rate):
                    requests.fail(stream, StreamError(CANCEL, "the client takes the answer too slowly"))
            elif requests.credit.left > 0 and _is_awaited(stream):
                ins[number] = pace = self._in.get(number) or _Pace(stream.came, now)
                if pace.is_slow(stream.came, now, self._timeout_in, self._limits.body_rate):
                    requests.refuse(stream, ProtocolError(408, "the body comes too slowly"))
        self._in, self._out = ins, outs

    def _look_at_all(self, streams: Streams, output: Output, now: int) -> None:
        """Find a client that keeps the window of the connection shut."""
        if output.window > 0 or not any(stream.backlog.size for stream in streams.open.values()):
            self._all = None
            return
        if self._all is None:
            self._all = _Pace(output.sent, now)
        if self._all.is_slow(output.sent, now, self._timeout_out, self._limits.send_rate):
            raise Http2Error(NO_ERROR, "the client opens the window of the connection too slowly")


def _is_awaited(stream: Stream) -> bool:
    """Whether the body of a request is the client's turn."""
    if not stream.open_in or stream.refused or stream.gone or stream.began or stream.is_websocket:
        return False
    return stream.credit > 0
