# Looks at processes: each is one pass over /proc, for all processes of all watchers and those below.
#
# Rules: two looks are a known distance apart, and what one process used is told of the time between them.
# What is costly is read of some processes at a time, so that each has its turn in `details_every` seconds.

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping, Sequence, Set
from typing import NamedTuple

from bigtop.stats.processes import details, procfs, samples
from bigtop.stats.processes.procfs import ProcessStat
from bigtop.stats.processes.samples import Details, Figure, Use
from bigtop.stats.roster import Roster

OWN = "circus"  # what Circus calls itself and its helpers
_OTHERS_EVERY = 10.0  # seconds


class Told(NamedTuple):
    """One message: of whom it is, which part of that, and its figures. A part of None is the whole."""

    name: str
    part: int | None
    figure: Figure
    text: str = ""  # the figure in JSON, where making that was worth to be avoided


class _Process:
    """What is known of a process of ours. Of a thousand nearly all sleep, and making a text of the figures of
    each is most of the work: so it is kept, up to the age."""

    __slots__ = ("_head", "_tail", "at", "began", "due", "figure", "read", "told", "turns", "use")

    def __init__(self, at: float, due: float, use: Use) -> None:
        self.at = at  # when it was told of
        self.due = due  # when what is costly is read again
        self.turns = 0  # how often it was time for that
        self.read = use.facts  # as it was when that was done last
        self.began = 0.0  # seconds since the epoch
        self.use = self.told = use
        self.figure: Figure = {}
        self._head = self._tail = ""

    def tell(self, use: Use, figure: Figure) -> str:
        """Take new figures in."""
        self.told, self.figure = use, figure
        self._head = ""
        return ""

    def tell_age(self, age: float) -> str:
        """All is as it was, but it is older. Return its figures in JSON."""
        self.figure["age"] = age
        if not self._head:
            self._head, self._tail = json.dumps({**self.figure, "age": None}).split(_NO_AGE, 1)
        return f'{self._head}"age": {age}{self._tail}'


_NO_AGE = '"age": null'
_ASLEEP_EVERY = 3  # times that what is costly is read: of who has done nothing since the last time
_WHO_EVERY = 6  # times that what is costly is read: whose a process is, and what it runs, hardly ever changes


class ProcessLooks:
    """Looks when it is asked to. Times are seconds: `at` by the monotonic clock, `now` since the epoch."""

    def __init__(self, details_every: float) -> None:
        self._details_every = details_every
        self._machine = procfs.machine()
        self._files = procfs.StatFiles()
        self._others: set[int] = set()  # pids that are nobody's of ours
        self._others_due = 0.0
        self.forget()

    def forget(self) -> None:
        """What comes next is compared with nothing."""
        self._table: dict[int, ProcessStat] = {}
        self._ours: dict[int, _Process] = {}
        self._others.clear()
        self._trees: dict[
            str, tuple[list[Use], Figure]
        ] = {}  # by watcher: what was added up last, and its sums
        self._files.close()

    @property
    def has_looked(self) -> bool:
        """Whether there is a look with which the next one can be compared."""
        return bool(self._table)

    def look(
        self, roster: Roster, at: float, now: float, turns: Container[str] | None = None
    ) -> Iterator[Told]:
        """Yield the figures of each process, and after those of one watcher the figures of that; only of
        those whose turn it is, if that is said."""
        before = self._table.keys()
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
            text = self._tell(self._ours[pid], use, more, now)
            figure = self._ours[pid].figure
            everyone.append(use)
            if pid in trees:
                below = [found for one in trees[pid] if (found := self._use(one, at))]
                figure, text = {**figure, "tree": samples.of_tree([use, *below])}, ""
                everyone += below
            figures.append(figure)
            yield Told(name, pid, figure, text)
        if figures:
            last = self._trees.get(name)
            if last is None or last[0] != everyone:
                self._trees[name] = last = everyone, samples.of_tree(everyone)
            whole = {**samples.of_watcher(figures), "time": now, "tree": last[1]}
            yield Told(name, None, whole)

    def _use(self, pid: int, at: float) -> Use | None:
        """Return what a process used since it was told of; None for one that is gone."""
        facts, process = self._table.get(pid), self._ours.get(pid)
        if facts is None:
            return None
        if process is None or process.use.facts.born != facts.born:
            return self._meet(facts, at)
        use, seconds = process.use, at - process.at
        process.at = at
        found = use.details if at < process.due else self._details(process, facts, at)
        if found is None:
            return None
        if use.facts is not facts or use.cpu or use.details != found:
            process.use = Use(facts, samples.share(use.facts, facts, seconds), found)
        return process.use

    def _meet(self, facts: ProcessStat, at: float) -> Use | None:
        try:
            use = Use(facts, 0.0, details.of(facts.pid))
        except OSError:
            return None
        # The second time early, by a part that differs, so that later on not all of them are due at once.
        self._ours[facts.pid] = _Process(at, at + self._details_every * (facts.pid % 16 / 16), use)
        return use

    def _details(self, process: _Process, facts: ProcessStat, at: float) -> Details | None:
        """Read what is costly anew; None for a process that is gone."""
        process.due = at + self._details_every
        process.turns += 1
        if process.read is facts and process.turns % _ASLEEP_EVERY != 1:
            return process.use.details
        process.read = facts
        who = None if process.turns % _WHO_EVERY == 1 else process.use.details
        try:
            return details.of(process.use.facts.pid, who)
        except OSError:
            return None

    def _tell(self, process: _Process, use: Use, more: Mapping[str, object], now: float) -> str:
        """Have the figures of a process be those of now; return them in JSON if that is there already."""
        if (process.told is use or process.told == use) and process.figure:  # it slept, and is older
            return process.tell_age(max(0.0, round(now - process.began, 2)))
        figure = {**samples.of_process(use, self._machine, now), **more, "subtopic": use.facts.pid}
        process.began = samples.began(use.facts, self._machine)
        return process.tell(use, figure | samples.more_of_process(use))

    def _forget_others(self, ours: Set[int], before: Set[int]) -> None:
        """Forget who is gone, or not ours any more."""
        there = self._table.keys()
        for pid in self._ours.keys() - (ours & there):
            del self._ours[pid]
        # Not at the first sight: of one that was just born we may be told later that it is ours.
        self._others |= (there - ours) & before

    def _facts(self, at: float) -> dict[int, ProcessStat]:
        """Look at all processes that may be ours. Those that were not are looked at again now and then: one
        of ours may have got the number of one that was not."""
        pids = procfs.pids()
        if at >= self._others_due:
            self._others.clear()
            self._others_due = at + _OTHERS_EVERY
        self._others &= pids
        return self._files.of(pids - self._others)


def _everybody(roster: Roster) -> Iterator[tuple[str, dict[int, Figure]]]:
    """Yield Bigtop itself and all watchers, with what is known of their processes, by pid."""
    yield OWN, {pid: {"name": title} for pid, title in roster.own}
    for group in roster.groups:
        yield group.name, {process.pid: {"name": None, "wid": process.wid} for process in group.processes}
