# Pace of the stats process: how often it looks, and to whom it sends what it sees unasked; and its name.
#
# Rule: pure; time is an argument, in seconds of a clock that never goes back.

from __future__ import annotations

from collections.abc import Iterable

from bigtop.emission import Emission
from bigtop.record import Record

NAME = "circusd-stats"  # as Circus has it, whose clients do not show what has this name


class Pace(Record):
    """Seconds between two looks, while somebody looks at it; and whether it looks all the same. `intervals`:
    the seconds of some watchers, by their names in small letters."""

    interval: float = 1.0
    details_interval: float = 10.0  # for what is costly: shares of the memory, descriptors, disks
    history: bool = False
    emission: Emission | None = None  # None: nothing is sent
    intervals: tuple[tuple[str, float], ...] = ()
    otlp: str | None = None  # where metrics are sent over OTLP

    @property
    def step(self) -> float:
        """The shortest of all intervals."""
        return min(self.interval, *(seconds for _, seconds in self.intervals), self.interval)


class Turns:
    """Whose turn it is at a look, of those who have different intervals."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._intervals = dict(pace.intervals)
        self._due: dict[str, float] = {}

    def take(self, names: Iterable[str], at: float) -> frozenset[str]:
        """Return those whose turn it is. Looks are a step apart, or a little more or less."""
        early = at + self._pace.step / 2
        due, self._due = self._due, {}
        found = set()
        for name in names:
            when = due.get(name, at)
            if when <= early:
                found.add(name)
                interval = self._intervals.get(name.lower(), self._pace.interval)
                when += interval * (1 + max(0.0, at - when) // interval)
            self._due[name] = when
        return frozenset(found)
