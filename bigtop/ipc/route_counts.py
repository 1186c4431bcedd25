# Counts by route pattern in a slot (scoreboard.py): what a worker has answered below each, and how fast.
#
# A pattern ("/articles/<int:year>/") is what the application's framework says of a request, so there are few.
# Rule 1: there are never more than MOST. What comes when all but one row are taken is counted in the last
# one, as OTHER. Rule 2: a row begins to be when its REQUESTS is not 0: its pattern is written before. Rows
# are taken in order and never given back. Rule 3: the other rules are those of the scoreboard. A pattern may
# be anything, and be there twice.
#
# Layout: MOST rows of a pattern, WORDS counters and a histogram of latencies (histogram.py). Nothing is
# written where a framework tells nothing, so that memory does not exist then.

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from bigtop.errors import one_line
from bigtop.ipc import histogram
from bigtop.ipc.histogram import BOUNDS, FAR, NEAR, SHIFT

MOST: Final = 64
OTHER: Final = "_OTHER"
LONGEST: Final = 96  # bytes of a pattern

REQUESTS: Final = 0
STATUS_1XX: Final = 1
STATUS_3XX: Final = 2
STATUS_4XX: Final = 3
STATUS_5XX: Final = 4
LATENCY_NS: Final = 5
WORDS: Final = 8  # some of them free

_ROW: Final = LONGEST + (WORDS + histogram.SIZE) * 8
SIZE: Final = MOST * _ROW
FIRST_REQUESTS: Final = LONGEST + REQUESTS * 8  # where the word stands that is 0 while there are no rows


class RouteCounts:
    """The rows for the worker that writes them, in its part of the slot; one thread at a time."""

    __slots__ = ("_memory", "_rows")

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._rows: dict[str, _Row] = {}

    def count(self, pattern: str, took: int, status: int) -> int:
        """Count an answer that took so many nanoseconds; return the number of its row, from 1."""
        row = self._rows.get(pattern)
        if row is None:
            row = self._new(pattern)
        row.count(took, status)
        return row.number

    def _new(self, pattern: str) -> _Row:
        rows = self._rows
        if len(rows) >= MOST - 1:
            pattern = OTHER
            if pattern in rows:
                return rows[pattern]
        number = len(rows)
        text = pattern.encode("utf-8", "backslashreplace")[:LONGEST]
        self._memory[number * _ROW : number * _ROW + len(text)] = text
        rows[pattern] = row = _Row(self._memory[number * _ROW + LONGEST : (number + 1) * _ROW], number + 1)
        return row


class _Row:
    """One row. What stands there is kept here: to read a word of it costs as much as to write one."""

    __slots__ = ("_counts", "_words", "number")

    def __init__(self, memory: memoryview, number: int) -> None:
        self._words = memory.cast("Q")
        self._counts: list[int] = self._words.tolist()
        self.number = number

    def count(self, took: int, status: int) -> None:
        if took >= FAR:
            bucket = bisect_left(BOUNDS, took)
        else:
            bucket = NEAR[max(0, took) >> SHIFT]
            if took > BOUNDS[bucket]:
                bucket += 1
        self._add(WORDS + bucket, 1)
        if status >= 300:
            self._add(STATUS_5XX if status >= 500 else STATUS_4XX if status >= 400 else STATUS_3XX, 1)
        elif status < 200:
            self._add(STATUS_1XX, 1)
        self._add(LATENCY_NS, took)
        self._add(REQUESTS, 1)

    def _add(self, index: int, amount: int) -> None:
        self._counts[index] = self._words[index] = self._counts[index] + amount


class RouteRow:
    """One row for those who read it."""

    __slots__ = ("_words", "pattern")

    def __init__(self, pattern: str, words: memoryview) -> None:
        self.pattern = pattern
        self._words = words

    @property
    def requests(self) -> int:
        return int(self._words[REQUESTS])

    def read(self) -> list[int]:
        """Return its WORDS counters, and the histogram of its latencies."""
        return self._words.tolist()


class RouteView:
    """The rows for those who read them. They are found once: they never become others."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._rows: list[RouteRow] = []

    def rows(self) -> Iterator[RouteRow]:
        """Yield those that there are."""
        while len(self._rows) < MOST:
            at = len(self._rows) * _ROW
            words = self._memory[at + LONGEST : at + _ROW].cast("Q")
            if not words[REQUESTS]:
                break
            self._rows.append(RouteRow(_text(self._memory[at : at + LONGEST]), words))
        yield from self._rows

    def pattern(self, number: int) -> str:
        """Return the pattern of the row with that number, from 1; "" where there is none."""
        if not 0 < number <= MOST:
            return ""
        at = (number - 1) * _ROW
        return _text(self._memory[at : at + LONGEST])


def _text(field: memoryview) -> str:
    """Return a pattern as it is shown, which is no longer than one that is written."""
    text = one_line(bytes(field).rstrip(b"\0").decode("utf-8", "ignore"))
    return text.encode()[:LONGEST].decode("utf-8", "ignore")
