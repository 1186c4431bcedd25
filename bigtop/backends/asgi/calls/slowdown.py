# Slowdown: that the application wants no more than so much of its answer to go out a second.

from __future__ import annotations

from collections.abc import Callable

from bigtop.backends.asgi.calls.stream import Stream
from bigtop.backends.native.transport.pace import Pace
from bigtop.system.clock import monotonic_ns


def slower(stream: Stream) -> Callable[[int], None]:
    """Return what slows down the next answer on a stream that `paces`, to so many bytes a second."""
    stream.pace = None  # the one before may have had one

    def slow_down(rate: int) -> None:
        stream.pace = Pace(rate, monotonic_ns())

    return slow_down
