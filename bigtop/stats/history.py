# Rings of figures of the past: each look of the last ten minutes, and each ten seconds of the last six hours.
#
# Rule: pure, and of a fixed size for each watcher. A coarse point holds the mean of what was used and the
# highest of what was held in its ten seconds.

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

FINE_SPAN = 600.0  # seconds
COARSE_STEP = 10.0
COARSE_SPAN = 6 * 3600.0
MOST_NAMES = 500  # of which a history is kept
COLUMNS = ("time", "processes", "cpu", "rss", "pss", "threads")

Point = tuple[float, float, float, float, float, float]  # as COLUMNS


class Ring:
    """The past of one watcher."""

    def __init__(self) -> None:
        self.fine: deque[Point] = deque()
        self.coarse: deque[Point] = deque()
        self._open: list[Point] = []  # of the coarse step that is not over

    def add(self, point: Point) -> None:
        at = point[0]
        self.fine.append(point)
        _forget(self.fine, at - FINE_SPAN)
        if self._open and at // COARSE_STEP != self._open[0][0] // COARSE_STEP:
            self.coarse.append(joined(self._open))
            _forget(self.coarse, at - COARSE_SPAN)
            self._open.clear()
        self._open.append(point)


def joined(points: list[Point]) -> Point:
    """Return one point for several: the beginning of their step, the mean of cpu, the highest of the rest."""
    columns = list(zip(*points, strict=True))
    begin = points[0][0] // COARSE_STEP * COARSE_STEP
    cpu = round(sum(columns[2]) / len(points), 1)
    return (begin, max(columns[1]), cpu, max(columns[3]), max(columns[4]), max(columns[5]))


def _forget(points: deque[Point], before: float) -> None:
    while points and points[0][0] <= before:
        points.popleft()


class History:
    """The past of all watchers. Who has not been heard of for longer than the span of a ring is forgotten."""

    def __init__(self) -> None:
        self._rings: dict[str, Ring] = {}

    @property
    def names(self) -> Iterator[str]:
        return iter(self._rings)

    def add(self, name: str, now: float, figure: Mapping[str, object]) -> None:
        """Take in the figures of a watcher, `now` in seconds since the epoch."""
        tree = figure["tree"]
        assert isinstance(tree, Mapping)
        processes, cpu, rss, pss, threads = (float(tree[column] or 0) for column in COLUMNS[1:])
        if name not in self._rings:
            self._make_room(now)
            self._rings[name] = Ring()
        self._rings[name].add((now, processes, cpu, rss, pss, threads))

    def _make_room(self, now: float) -> None:
        for name in [each for each, ring in self._rings.items() if ring.fine[-1][0] < now - COARSE_SPAN]:
            del self._rings[name]
        if len(self._rings) >= MOST_NAMES:
            del self._rings[next(iter(self._rings))]

    def of(self, name: str) -> dict[str, object]:
        """Return the columns' names, and the points of both rings, oldest first."""
        ring = self._rings[name]
        return {"columns": COLUMNS, "fine": list(ring.fine), "coarse": list(ring.coarse)}
