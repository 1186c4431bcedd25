# Rollout: who of a watcher's processes stays, who leaves, how many come, at one moment for one count.
#
# Rule: pure, and made anew whenever it is asked for; nothing is remembered and nothing is changed. What these
# words mean is told at the head of watcher.py.

from __future__ import annotations

from math import inf

from bigtop.supervisor.policy.deploys.generations import Generations
from bigtop.supervisor.policy.processtable import Proc, ProcessTable
from bigtop.supervisor.policy.spec import WatcherSpec


class Roster:
    """Those that stay, oldest first: `stale` ones have to be replaced, `canaries` are on trial."""

    def __init__(self, table: ProcessTable, generations: Generations, wanted: int, spec: WatcherSpec) -> None:
        self.fresh: list[Proc] = []
        self.stale: list[Proc] = []
        self.canaries: list[Proc] = []
        self.trial = generations.trial(wanted)
        self._deploy = spec.deploy
        self.source = generations.source(wanted)
        self.usable = self.source.usable_since is not None
        # An old process is gone before the new one comes.
        self._one_for_one = spec.singleton or generations[-1].sequential
        tested = generations.tested(wanted)
        new = 0 if tested is None else tested.number
        # Until the first one has shown enough, no other takes the place of an old one.
        self._waits = False
        is_reload = len(generations) > 1 and self.trial is None
        self._surge = spec.deploy.max_surge if is_reload else 1
        self._unavailable = spec.deploy.max_unavailable if is_reload else 0
        self._alone = len(generations) == 1 and self.usable
        self._table = table
        self._wanted = wanted
        on_trial = 0 if self.trial is None else self.trial.number
        for proc in table.staying():
            self._waits = self._waits or proc.generation == new
            # During a trial what serves serves on: its turn comes when the trial is over.
            good = proc.generation == self.source.number or (on_trial and proc.serves)
            if proc.generation == on_trial:
                self.canaries.append(proc)
            elif good and not proc.retiring and not proc.doubted:
                self.fresh.append(proc)
            else:
                self.stale.append(proc)

    @property
    def canary_wanted(self) -> int:
        """The generation that can have its canary now and has none; 0: there is no such."""
        trial = self.trial
        if trial is None or trial.usable_since is None or self.canaries or self._table.shortage.until > -inf:
            return 0
        return trial.number

    @property
    def holds(self) -> bool:
        """Whether that one is to have no clients at first."""
        return self.trial is not None and not self.trial.reforked and self._deploy.holds

    @property
    def complete(self) -> bool:
        """Whether nobody has to come, and whoever was asked for is there."""
        count = len(self.fresh) + len(self._table.slots.holds)
        return (
            self._alone and not self.stale and count >= self._wanted and all(proc.pid for proc in self.fresh)
        )

    @property
    def surplus(self) -> int:
        return max(0, len(self.fresh) + len(self._table.slots.holds) - self._wanted)

    def idle_slots(self) -> list[int]:
        """The places of dead processes that are not needed; those that wait longest first."""
        holds = self._table.slots.holds
        return sorted(holds, key=lambda wid: -holds[wid])[: self.surplus]

    def leaving(self) -> list[Proc]:
        """Those that are too many, or can be replaced now."""
        surplus = self.surplus - len(self.idle_slots())
        if not surplus and not self.stale:
            return []
        leaving = sorted(self.fresh, key=lambda proc: proc.serves)[:surplus]
        leaving += [proc for proc in self.stale if not proc.serves]
        ready = [proc for proc in self.fresh + self.stale if proc.serves and proc not in leaving]
        spare = max(0, len(ready) + self._table.slots.over - self._wanted + self._unavailable)
        # Where one died that has a successor coming, that one is what is replaced now.
        full = len(ready) + self._table.slots.over >= self._wanted
        if self._one_for_one and self.usable and full and len(ready) == len(self._table.processes):
            spare = max(spare, 1)
        if self._waits and self.trial is None:
            spare = 0
        return leaving + [proc for proc in ready if proc in self.stale][:spare]

    def room(self) -> int:
        """How many can be started, beside the successors of the dead."""
        room = self._wanted - len(self.fresh) - len(self._table.slots.holds)
        if self._one_for_one or not self._surge:  # whoever is there, even leaving, holds a place
            room -= len(self._table.processes) - len(self.fresh)
        else:  # each stale process but the first ones keeps its place until its turn comes
            room -= max(0, len(self.stale) - self._surge)
        return max(0, room)
