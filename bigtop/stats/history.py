# Rings of figures of the past: each look of the last ten minutes, and each ten seconds of the last six hours.
#
# Rule: pure, and of a fixed size for each watcher: eight bytes a number. A coarse point holds the mean of
# what is used up in its ten seconds (the CPU, requests), and the highest of what is held or takes time.

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from math import isnan, nan

FINE_SPAN = 600.0  # seconds
COARSE_STEP = 10.0
COARSE_SPAN = 6 * 3600.0
MOST_NAMES = 500  # of which a history is kept
COLUMNS = ("time", "processes", "cpu", "rss", "pss", "threads")
# Of an application, out of the window of a second; None where nobody was answered.
REQUEST_COLUMNS = ("time", "rate", "errors", "p50", "p99", "queue_p99", "busy", "waiting")
MEANS = frozenset({"cpu", "rate", "errors"})

Row = Sequence[float | None]  # as COLUMNS, or REQUEST_COLUMNS


class Points:
    """Rows of so many numbers, the oldest first; each begins with its time."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._numbers = array("d")
        self._first = 0  # number of those that are kept

    def append(self, row: Row) -> None:
        self._numbers.extend(nan if value is None else value for value in row)

    def forget(self, before: float) -> None:
        """Forget the rows that are not newer than that."""
        numbers, first = self._numbers, self._first
        while first < len(numbers) and numbers[first] <= before:
            first += self._width
        if first > len(numbers) // 4:  # else each row that goes would move all the others
            del numbers[:first]
            first = 0
        self._first = first

    def __len__(self) -> int:
        return (len(self._numbers) - self._first) // self._width

    def __getitem__(self, index: int) -> tuple[float | None, ...]:
        rows = range(self._first, len(self._numbers), self._width)
        return self._row(rows[index])

    def __iter__(self) -> Iterator[tuple[float | None, ...]]:
        for first in range(self._first, len(self._numbers), self._width):
            yield self._row(first)

    def _row(self, first: int) -> tuple[float | None, ...]:
        values = self._numbers[first : first + self._width]
        return tuple(None if isnan(value) else value for value in values)

    @property
    def newest(self) -> float:
        """The time of the last row, which there must be."""
        return self._numbers[-self._width]


class Ring:
    """The past of one watcher, in these columns."""

    def __init__(self, columns: Sequence[str] = COLUMNS) -> None:
        self.columns = columns
        self.fine = Points(len(columns))
        self.coarse = Points(len(columns))
        self._open: list[Row] = []  # of the coarse step that is not over
        self._step = 0.0  # that is

    def add(self, row: Row) -> None:
        at = row[0]
        assert at is not None
        self.fine.append(row)
        self.fine.forget(at - FINE_SPAN)
        step = at // COARSE_STEP
        if self._open and step != self._step:
            self.coarse.append(joined(self._open, self.columns))
            self.coarse.forget(at - COARSE_SPAN)
            self._open.clear()
        self._open.append(row)
        self._step = step

    @property
    def told(self) -> dict[str, object]:
        """The columns' names, and the points of both rings, oldest first."""
        return {"columns": self.columns, "fine": list(self.fine), "coarse": list(self.coarse)}


def joined(rows: Sequence[Row], columns: Sequence[str]) -> Row:
    """Return one row for several, with the beginning of their step."""
    first = rows[0][0]
    assert first is not None
    found: list[float | None] = [first // COARSE_STEP * COARSE_STEP]
    for name, values in list(zip(columns, zip(*rows, strict=True), strict=True))[1:]:
        known = [value for value in values if value is not None]
        if not known:
            found.append(None)
        else:
            found.append(round(sum(known) / len(known), 1) if name in MEANS else max(known))
    return found


class History:
    """The past of all watchers. Who has not been heard of for longer than the span of a ring is forgotten."""

    def __init__(self) -> None:
        self._rings: dict[str, Ring] = {}
        self._requests: dict[str, Ring] = {}  # of applications

    @property
    def names(self) -> Iterator[str]:
        return iter(self._rings)

    def add(self, name: str, now: float, figure: Mapping[str, object]) -> None:
        """Take in the figures of a watcher, `now` in seconds since the epoch."""
        tree = figure["tree"]
        assert isinstance(tree, Mapping)
        self._ring(self._rings, name, now, COLUMNS).add((now, *(tree[one] or 0 for one in COLUMNS[1:])))

    def add_requests(self, name: str, now: float, figures: Sequence[float | None]) -> None:
        """Take in what an application did in the last second, as REQUEST_COLUMNS have it."""
        self._ring(self._requests, name, now, REQUEST_COLUMNS).add((now, *figures))

    def _ring(self, rings: dict[str, Ring], name: str, now: float, columns: Sequence[str]) -> Ring:
        if name not in rings:
            for old in [each for each, ring in rings.items() if ring.fine.newest < now - COARSE_SPAN]:
                del rings[old]
            if len(rings) >= MOST_NAMES:
                del rings[next(iter(rings))]
            rings[name] = Ring(columns)
        return rings[name]

    def of(self, name: str) -> dict[str, object]:
        """Return the past of a watcher of `names`: COLUMNS, and of an application REQUEST_COLUMNS as
        "requests"."""
        requests = self._requests.get(name)
        return self._rings[name].told | ({} if requests is None else {"requests": requests.told})
