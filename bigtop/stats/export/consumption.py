# Consumption of watchers as metrics: CPU time that only grows, and memory.
#
# Rules: it is looked when somebody asks, with one pass over /proc for all. What a process used that has ended
# since is kept, as it was at the last look. A share of the memory (PSS) is costly to read: so that is done
# after a look, for the next one, but for a few of which there is none yet. One thread at a time.

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress

from bigtop.stats.export import metrics
from bigtop.stats.export.metrics import Sample
from bigtop.stats.processes import procfs, samples
from bigtop.stats.processes.procfs import ProcessStat
from bigtop.stats.roster import Roster

_SHARE_AGE = 10.0  # seconds
_FEW = 25  # shares that are read in one look

_Key = tuple[int, int]  # pid, and when it was born


class Consumption:
    """Looks when it is asked to."""

    def __init__(self) -> None:
        self._used: dict[str, dict[_Key, float]] = {}  # seconds of CPU at the last look, by watcher
        self._gone: defaultdict[str, float] = defaultdict(float)  # likewise, of those that are gone
        self._shares: dict[_Key, tuple[float, int | None]] = {}  # when it was read, bytes
        self._left = 0  # shares that may be read in this look
        self._files = procfs.StatFiles()

    def look(self, roster: Roster) -> Iterator[Sample]:
        """Yield what the processes of each watcher use, with those below them."""
        table = self._files.of(procfs.pids())
        children = samples.children_of(table)
        named = frozenset(process.pid for group in roster.groups for process in group.processes)
        shares, self._shares, self._left = self._shares, {}, _FEW
        for group in roster.groups:
            family = []
            for process in group.processes:
                if process.pid in table:
                    family += [table[process.pid], *samples.below(process.pid, children, named)]
            yield Sample(metrics.CPU, (group.name,), self._cpu(group.name, family))
            yield Sample(metrics.MEMORY, (group.name, "rss"), sum(one.rss for one in family))
            pss = [self._share(one, shares) for one in family]
            known = [one for one in pss if one is not None]
            if len(known) == len(pss):  # else not read yet; or of another user, and may not be read
                yield Sample(metrics.MEMORY, (group.name, "pss"), sum(known))

    def _cpu(self, name: str, family: list[ProcessStat]) -> float:
        used = {(one.pid, one.born): one.cpu for one in family}
        before = self._used.get(name, {})
        self._gone[name] += sum(seconds for key, seconds in before.items() if key not in used)
        self._used[name] = used
        return round(self._gone[name] + sum(used.values()), 2)

    def _share(self, one: ProcessStat, before: dict[_Key, tuple[float, int | None]]) -> int | None:
        key = one.pid, one.born
        known = before.get(key)
        if known is None and self._left:
            self._left -= 1
            known = self._read(key)
        self._shares[key] = known or (0.0, None)
        return self._shares[key][1]

    def prepare(self) -> None:
        """Read for the next look what is too old by now, or was never read."""
        late = time.monotonic() - _SHARE_AGE
        for key, (read_at, _) in self._shares.items():
            if not read_at or read_at < late:
                self._shares[key] = self._read(key)

    def _read(self, key: _Key) -> tuple[float, int | None]:
        pss = None
        with suppress(OSError):
            pss = procfs.memory(key[0])[0]
        return time.monotonic(), pss
