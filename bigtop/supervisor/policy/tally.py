# Tally of a supervisor: how often each watcher's processes started and ended, and why; how reloads went.
#
# Rules: pure; time is an argument. Numbers only grow, for as long as the watcher is known.

from __future__ import annotations

from collections import Counter

from bigtop.record import Record, field
from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.messages import Ending


class WatcherTally(Record, frozen=False):
    """Of one watcher."""

    starts: int = 0
    exits: Counter[Ending] = field(default_factory=Counter)
    reloads: int = 0
    failed_reloads: int = 0
    reloaded_at: float = 0.0  # seconds since the epoch; 0 for never
    generation: int = 0  # of the last reload that was done
    has_started: bool = False  # was whole once


class Tally:
    """Of all watchers, by name."""

    def __init__(self) -> None:
        self._watchers: dict[str, WatcherTally] = {}
        self._hung: set[int] = set()  # keys

    def of(self, name: str) -> WatcherTally:
        return self._watchers.setdefault(name, WatcherTally())

    def resume(self, name: str, tally: WatcherTally) -> None:
        """Go on with what another one has counted."""
        self._watchers[name] = tally

    def hear(self, name: str, notice: messages.Notice, now: float) -> None:
        """Take in what happened at `now`, in seconds since the epoch."""
        match notice:
            case messages.Born():
                self.of(name).starts += 1
            case messages.Report(key, due=due) if due is not None:
                self._hung.add(key)
            case messages.Reaped(key):
                self.of(name).exits[Ending.HUNG if key in self._hung else notice.ending] += 1
                self._hung.discard(key)
            case messages.Started():
                self.of(name).has_started = True
            case messages.Reloaded(generation):
                tally = self.of(name)
                tally.reloads += 1
                tally.reloaded_at, tally.generation = now, generation
            case messages.ReloadFailed():
                self.of(name).failed_reloads += 1
            case messages.Removed():
                self._watchers.pop(name, None)
