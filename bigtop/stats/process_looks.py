# Looks at processes: each is one pass over /proc, for all processes of all watchers and those below.
#
# Rules: two looks are a known distance apart, and what one process used is told of the time between them.
# What is costly is read of some processes at a time, so that each has its turn in `details_every` seconds.

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import NamedTuple

from bigtop.stats import details, procfs, samples
from bigtop.stats.procfs import ProcessStat
from bigtop.stats.roster import Roster
from bigtop.stats.samples import Details, Figure, Use

OWN = "circus"  # what Circus calls itself and its helpers
_OTHERS_EVERY = 10.0  # seconds


class Told(NamedTuple):
    """One message: of whom it is, which part of that, and its figures. A part of None is the whole."""

    name: str
    part: int | None
    figure: Figure
    text: str = ""  # the figure in JSON, where making that was worth to be avoided


class _Last(NamedTuple):
    """What was told of a process last. Of a thousand processes nearly all sleep, and making a text of the
    figures of each is most of the work: so it is kept, up to the age."""

    use: Use
    figure: Figure
    beginning: str = ""

    def at_age(self, age: float) -> _Last:
        figure = {**self.figure, "age": age}
        beginning = self.beginning or json.dumps({**figure, "age": None})
        return _Last(self.use, figure, beginning)

    @property
    def text(self) -> str:
        return self.beginning and self.beginning.replace(_NO_AGE, f'"age": {self.figure["age"]}', 1)


_NO_AGE = '"age": null'


class ProcessLooks:
    """Looks when it is asked to. Times are seconds: `at` by the monotonic clock, `now` since the epoch."""

    def __init__(self, details_every: float) -> None:
        self._details_every = details_every
        self._machine = procfs.machine()
        self._others: set[int] = set()  # pids that are nobody's of ours
        self._others_due = 0.0
        self.forget()

    def forget(self) -> None:
        """What comes next is compared with nothing."""
        self._table: dict[int, ProcessStat] = {}
        # Ours, by pid: when it was told of, and what it was like.
        self._used: dict[int, tuple[float, ProcessStat]] = {}
        self._details: dict[tuple[int, int], tuple[float, Details]] = {}  # by pid and birth: when due again
        self._last: dict[int, _Last] = {}  # by pid
        self._others.clear()

    @property
    def has_looked(self) -> bool:
        """Whether there is a look with which the next one can be compared."""
        return bool(self._table)

    def look(
        self, roster: Roster, at: float, now: float, turns: Container[str] | None = None
    ) -> Iterator[Told]:
        """Yield the figures of each process, and after those of one watcher the figures of that; only of
        those whose turn it is, if that is said."""
        before = self._table
        named = frozenset(process.pid for group in roster.groups for process in group.processes)
        self._others -= named
        self._table = self._facts(at)
        children = samples.children_of(self._table)
        ours: set[int] = set()
        for name, members in _everybody(roster):
            trees: dict[int, list[int]] = {}  # of those that have children: who is below them
            for pid in members.keys() & children.keys() if name is not OWN else ():
                trees[pid] = [one.pid for one in samples.below(pid, children, named)]
            ours.update(members, *trees.values())
            if turns is None or name in turns:
                yield from self._of_group(name, members, trees, at, now)
        self._forget_others(ours, before)

    def _of_group(
        self,
        name: str,
        members: Mapping[int, Figure],
        trees: Mapping[int, Sequence[int]],
        at: float,
        now: float,
    ) -> Iterator[Told]:
        figures, everyone = [], []
        for pid, more in members.items():
            if (use := self._use(pid, at)) is None:
                continue
            self._last[pid] = told = self._told(self._last.get(pid), use, more, now)
            figure, text = told.figure, told.text
            everyone.append(use)
            if pid in trees:
                below = [found for one in trees[pid] if (found := self._use(one, at))]
                figure, text = {**figure, "tree": samples.of_tree([use, *below])}, ""
                everyone += below
            figures.append(figure)
            yield Told(name, pid, figure, text)
        if figures:
            whole = {**samples.of_watcher(figures), "time": now, "tree": samples.of_tree(everyone)}
            yield Told(name, None, whole)

    def _use(self, pid: int, at: float) -> Use | None:
        """Return what a process used since it was told of; None for one that is gone."""
        facts = self._table.get(pid)
        found = None if facts is None else self._detail(facts, at)
        if facts is None or found is None:
            return None
        then, before = self._used.get(pid, (at, None))
        self._used[pid] = at, facts
        return Use(facts, samples.share(before, facts, at - then), found)

    def _told(self, last: _Last | None, use: Use, more: Mapping[str, object], now: float) -> _Last:
        if last is not None and last.use == use:  # it slept, and is older
            return last.at_age(samples.age(use.facts, self._machine, now))
        figure = {**samples.of_process(use, self._machine, now), **more, "subtopic": use.facts.pid}
        return _Last(use, figure | samples.more_of_process(use))

    def _forget_others(self, ours: Container[int], before: Container[int]) -> None:
        """Forget who is gone, or not ours any more."""
        self._used = {pid: known for pid, known in self._used.items() if pid in ours and pid in self._table}
        self._last = {pid: last for pid, last in self._last.items() if pid in self._used}
        births = {(pid, facts.born) for pid, (_, facts) in self._used.items()}
        self._details = {key: known for key, known in self._details.items() if key in births}
        # Not at the first sight: of one that was just born we may be told later that it is ours.
        self._others.update(pid for pid in self._table if pid not in ours and pid in before)

    def _facts(self, at: float) -> dict[int, ProcessStat]:
        """Look at all processes that may be ours. Those that were not are looked at again now and then: one
        of ours may have got the number of one that was not."""
        pids = procfs.pids()
        if at >= self._others_due:
            self._others.clear()
            self._others_due = at + _OTHERS_EVERY
        self._others &= pids
        return procfs.of(pids - self._others)

    def _detail(self, facts: ProcessStat, at: float) -> Details | None:
        """Return what is known of a process, read anew when that is due; None for one that is gone."""
        key = facts.pid, facts.born
        known = self._details.get(key)
        if known is not None and at < known[0]:
            return known[1]
        # The first time early, by a part that differs, so that later on not all of them are due at once.
        part = facts.pid % 16 / 16 if known is None else 1.0
        try:
            self._details[key] = at + self._details_every * part, details.of(facts.pid)
        except OSError:
            return None
        return self._details[key][1]


def _everybody(roster: Roster) -> Iterator[tuple[str, dict[int, Figure]]]:
    """Yield Bigtop itself and all watchers, with what is known of their processes, by pid."""
    yield OWN, {pid: {"name": title} for pid, title in roster.own}
    for group in roster.groups:
        yield group.name, {process.pid: {"name": None, "wid": process.wid} for process in group.processes}
