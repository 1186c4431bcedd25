# Farewells: when the WebSockets of a worker that drains are asked to come again. Pure: time is an argument.
#
# Why: all at the same moment, they would all come to another worker at the same moment.

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Generic, TypeVar

from bigtop.backends.native.timeouts import NEVER, SECOND

_PACE: Final = 200  # WebSockets per second that are asked to come again; slower would not help the others
_SHARE: Final = 0.5  # of the time that is left, in which the last one is asked at the latest

T = TypeVar("T")
Asks = list[Callable[[], object]]  # each asks one of them


def farewells(count: int, grace: float) -> Iterator[float]:
    """Yield the seconds after which each of so many WebSockets is asked, the first at once."""
    return itertools.count(0.0, min(1 / _PACE, max(grace, 0.0) * _SHARE / max(count, 1)))


class Farewells(Generic[T]):
    """Those that are still to be asked; `due` is when the next one is, in nanoseconds."""

    def __init__(self) -> None:
        self.due = NEVER
        self._waiting: deque[tuple[int, T]] = deque()

    def begin(self, whom: Iterable[T], now: int, grace: float) -> None:
        """Ask these, within `grace` seconds."""
        self._waiting.extend((now, one) for one in whom)
        self.hurry(now, grace)

    def hurry(self, now: int, grace: float) -> None:
        """Ask those that are left within `grace` seconds from now on."""
        turns = farewells(len(self._waiting), grace)
        self._waiting = deque((now + int(next(turns) * SECOND), one) for _, one in self._waiting)
        self._wait()

    def take(self, now: int) -> list[T]:
        """Return whose turn has come, once."""
        taken = []
        while self._waiting and self._waiting[0][0] <= now:
            taken.append(self._waiting.popleft()[1])
        self._wait()
        return taken

    def _wait(self) -> None:
        self.due = self._waiting[0][0] if self._waiting else NEVER
