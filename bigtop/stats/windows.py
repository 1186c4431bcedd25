# Windows of time: how many requests, how fast and how long in the last second, ten seconds, minute.
#
# Rule: pure; time is an argument, in seconds of any clock that never goes back. What happened in a window is
# the difference of two looks at counters that only grow, so it is exact for the time between these two looks,
# which is told with it. Nothing looks for a window's sake: who looks anyway sets the pace.

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

from bigtop.ipc import histogram
from bigtop.ipc.counters import LATENCIES, WAITS, Count, Counters
from bigtop.record import Record
from bigtop.stats.figures import AppFigures

USUAL: Final = (1, 10, 60)  # seconds
OF_ROUTES: Final = 10
OF_OCCUPANCY: Final = 10
_STEP: Final = 0.5  # seconds; of looks that come faster the last one is kept

_SHARES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}

Times = dict[str, float]


class Window(Record):
    """What came to be between two looks that are so many seconds apart."""

    seconds: float
    counters: Counters

    def rate(self, count: Count) -> float:
        """Return how many there were per second."""
        return self.counters[count] / self.seconds

    @property
    def latency(self) -> Times | None:
        """Return p50, p90, p99 and max in seconds, each wrong by 4.4 % at most (histogram.quantile()); None
        where there were no requests."""
        return _times(self.counters[LATENCIES])

    @property
    def queue(self) -> Times | None:
        """Return the same of the times before the application was called; None where nobody measures them,
        too."""
        return _times(self.counters[WAITS]) if self.counters[Count.QUEUE_NS] else None


def _quantile(counts: Counters, share: float) -> float | None:
    return round(histogram.quantile(counts, share) or 0.0, 6) if any(counts) else None


def _times(counts: Counters) -> Times | None:
    if not any(counts):
        return None
    return {name: round(histogram.quantile(counts, share) or 0.0, 6) for name, share in _SHARES.items()}


class Looks:
    """The looks at one set of counters of the last `keep` seconds."""

    def __init__(self, keep: float = USUAL[-1]) -> None:
        self._keep = keep
        self._looks: deque[tuple[float, Counters]] = deque()

    def add(self, at: float, counters: Counters) -> None:
        if len(self._looks) > 1 and at < self._looks[-2][0] + _STEP:
            self._looks.pop()
        self._looks.append((at, counters))
        while len(self._looks) > 2 and self._looks[1][0] <= at - self._keep:
            self._looks.popleft()

    @property
    def last(self) -> Counters:
        """The counters of the last look, which there must be."""
        return self._looks[-1][1]

    def window(self, seconds: float) -> Window | None:
        """Return what came to be since the look that was nearest to so long ago; None before the second
        look."""
        if len(self._looks) < 2:
            return None
        at, now = self._looks[-1]
        past = list(self._looks)[:-1]
        then, before = min(past, key=lambda look: abs(at - seconds - look[0]))
        if at <= then:
            return None
        return Window(at - then, [max(0, late - early) for early, late in zip(before, now, strict=True)])


class Windows:
    """Of all applications, by name."""

    def __init__(self) -> None:
        self._looks: dict[str, Looks] = {}
        self._routes: dict[str, dict[str, Looks]] = {}  # by route pattern

    def add(self, at: float, counts: Mapping[str, AppFigures]) -> None:
        """Take in a look; who is not in it is forgotten."""
        self._looks = {name: self._looks.get(name) or Looks() for name in counts}
        for name, figures in counts.items():
            self._looks[name].add(at, figures.counters)
        before = self._routes
        self._routes = {name: {} for name, figures in counts.items() if figures.routes}
        for name, routes in self._routes.items():
            known = before.get(name, {})
            for pattern, counters in counts[name].routes.items():
                routes[pattern] = known.get(pattern) or Looks(OF_ROUTES)
                routes[pattern].add(at, counters)

    def of(self, name: str) -> dict[str, object]:
        """Return what is told of each of the USUAL windows, by its nominal length; {} before the second
        look."""
        looks = self._looks.get(name)
        windows = {} if looks is None else {seconds: looks.window(seconds) for seconds in USUAL}
        return {str(seconds): _told(window) for seconds, window in windows.items() if window is not None}

    def last_second(self, name: str) -> tuple[float | None, ...]:
        """Return requests and errors per second, p50, p99, and p99 of the wait, in seconds; None for what is
        not known."""
        looks = self._looks.get(name)
        window = None if looks is None else looks.window(1)
        if window is None:
            return (None,) * 5
        rates = (round(window.rate(count), 3) for count in (Count.REQUESTS, Count.STATUS_5XX))
        if not window.counters[Count.REQUESTS]:
            return (*rates, None, None, None)
        times = window.counters[LATENCIES]
        waits = window.counters[WAITS] if window.counters[Count.QUEUE_NS] else []
        return (*rates, _quantile(times, 0.5), _quantile(times, 0.99), _quantile(waits, 0.99))

    def of_routes(self, name: str) -> dict[str, dict[str, object]]:
        """Return what is told of each route pattern: in the window OF_ROUTES, and so far."""
        return {
            pattern: _of_route(looks.last, looks.window(OF_ROUTES))
            for pattern, looks in self._routes.get(name, {}).items()
        }


class Occupancy:
    """Share of the places of an application that calls take: over the time since the look that was nearest to
    OF_OCCUPANCY seconds ago, calls that still run included."""

    def __init__(self) -> None:
        self._looks: dict[str, deque[tuple[float, int]]] = {}

    def add(self, at: float, counts: Mapping[str, AppFigures]) -> None:
        """Take in a look; who is not in it is forgotten."""
        self._looks = {name: self._looks.get(name) or deque() for name in counts}
        for name, figures in counts.items():
            looks = self._looks[name]
            if len(looks) > 1 and at < looks[-2][0] + _STEP:
                looks.pop()
            looks.append((at, figures.counters[Count.CALL_NS] + figures.elapsed))
            while len(looks) > 2 and looks[1][0] <= at - USUAL[-1]:
                looks.popleft()

    def share(self, name: str, figures: AppFigures, threads: int) -> float:
        """Return the share; 1 is all places taken all the time. After the first look it is that of the
        moment, and of workers that run many calls on one thread it may be more than 1."""
        places = figures.workers * max(1, threads)
        if not places:
            return 0.0
        looks = list(self._looks.get(name, ()))
        if len(looks) < 2:
            return figures.busy / places
        at, now = looks.pop()
        then, before = min(looks, key=lambda look: abs(at - OF_OCCUPANCY - look[0]))
        return max(0, now - before) / 1e9 / (at - then) / places if at > then else figures.busy / places


def _told(window: Window) -> dict[str, object]:
    return {
        "seconds": round(window.seconds, 3),
        "requests_per_second": round(window.rate(Count.REQUESTS), 3),
        "errors_per_second": round(window.rate(Count.STATUS_5XX), 3),
        "latency": window.latency,
        "queue": window.queue,
    }


def _of_route(counters: Counters, window: Window | None) -> dict[str, object]:
    told: dict[str, object] = {"requests": counters[Count.REQUESTS], "errors": counters[Count.STATUS_5XX]}
    if window is None:
        return told
    rate, latency = round(window.rate(Count.REQUESTS), 3), window.latency
    return {**told, "requests_per_second": rate, "latency": latency}
