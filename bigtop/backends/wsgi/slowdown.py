# Slowdown: that the application wants no more than so much of its answer to go out a second.

from __future__ import annotations

from collections.abc import Callable

from bigtop.backends.native.transport.pace import Pace
from bigtop.backends.native.transport.write_buffer import Bounds, WriteBuffer
from bigtop.backends.wsgi.stream import Stream
from bigtop.system.clock import monotonic_ns


def slower(stream: Stream, bounds: Bounds) -> Callable[[int], None]:
    """Return what slows down the next answer on a stream of HTTP/1.1, to so many bytes a second."""

    def slow_down(rate: int) -> None:
        stream.write_buffer = WriteBuffer(stream.transport, bounds, Pace(rate, monotonic_ns()))

    return slow_down
