# Windows of time: how many, how fast and how long in the last second, ten seconds, minute.
#
# Rule: pure; time is an argument, in seconds of any clock that never goes back. What happened in a window is
# the difference of two looks at counters that only grow, so it is exact for the time between these two looks,
# which is told with it.

from __future__ import annotations

from collections import deque
from typing import Final

from bigtop.ipc import histogram
from bigtop.ipc.counters import LATENCIES, WAITS, Count, Counters
from bigtop.record import Record

USUAL: Final = (1.0, 10.0, 60.0)  # seconds


class Times(Record):
    """Of requests, in seconds; None where there were none, and for a longest one above 108 s."""

    p50: float | None
    p90: float | None
    p99: float | None
    longest: float | None


class Window(Record):
    """What came to be between two looks that are so many seconds apart."""

    seconds: float
    counters: Counters

    def rate(self, count: Count) -> float:
        """Return how many there were per second."""
        return self.counters[count] / self.seconds

    @property
    def latency(self) -> Times:
        return _times(self.counters[LATENCIES])

    @property
    def queue(self) -> Times:
        return _times(self.counters[WAITS])


def _times(counts: Counters) -> Times:
    p50, p90, p99 = (histogram.quantile(counts, share) for share in (0.5, 0.9, 0.99))
    return Times(p50, p90, p99, histogram.longest(counts))


class Looks:
    """The looks at one set of counters of the last `keep` seconds."""

    def __init__(self, keep: float = USUAL[-1]) -> None:
        self._keep = keep
        self._looks: deque[tuple[float, Counters]] = deque()

    def add(self, at: float, counters: Counters) -> None:
        self._looks.append((at, counters))
        while len(self._looks) > 2 and self._looks[1][0] <= at - self._keep:
            self._looks.popleft()

    def window(self, seconds: float) -> Window | None:
        """Return what came to be since the last look that is at least so long ago, or since the first; None
        before the second look."""
        if len(self._looks) < 2:
            return None
        at, now = self._looks[-1]
        past = [look for look in self._looks if look[0] <= at - seconds]
        then, before = past[-1] if past else self._looks[0]
        return Window(at - then, [max(0, late - early) for early, late in zip(before, now, strict=True)])
