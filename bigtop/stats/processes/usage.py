# Usage of processes, in the units and the words of Circus.
#
# Rule 1: one look at all processes serves a whole request: asking each of them for its children costs such a
# look every time, which is how 300 processes come to take seconds.
# Rule 2: off the event loop, in one thread: the memory of the last look, from which the share of the CPU
# since then is made, does not stand two.

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from bigtop.stats.processes import details, procfs, samples
from bigtop.stats.processes.procfs import ProcessStat
from bigtop.stats.processes.samples import Figure, Use

NO_PROCESS = "No such process (stopped?)"  # instead of figures


class Figures:
    """Reads figures of processes; the event loop's side."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="figures")
        self._reader = _Reader()

    async def of(self, wids: Mapping[int, int]) -> dict[int, Figure | str]:
        """Return the figures of processes and of their children, by pid. `wids`: pid -> wid."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._reader.read, wids)

    async def of_daemon(self) -> Figure:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._reader.read_daemon)

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)


class _Reader:
    """One thread only."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[float, ProcessStat]] = {}  # by pid: when, and as it was
        self._machine = procfs.machine()

    def read(self, wids: Mapping[int, int]) -> dict[int, Figure | str]:
        table = procfs.table()
        children = samples.children_of(table)
        self._seen = {pid: seen for pid, seen in self._seen.items() if pid in table}
        found: dict[int, Figure | str] = {}
        for pid, wid in wids.items():
            figure = self._figure(table[pid]) if pid in table else None
            if figure is None:
                found[pid] = NO_PROCESS
            else:
                below = (self._figure(child) for child in children.get(pid, ()))
                figure["children"] = [child for child in below if child is not None]
                found[pid] = figure | {"started": figure["create_time"], "wid": wid}
        return found

    def read_daemon(self) -> Figure:
        figure: Figure | None = None
        for pause in (0, 0.01):  # a share of the CPU is one of some span of time
            time.sleep(pause)
            facts = procfs.facts(os.getpid())
            figure = self._figure(facts) if facts is not None else None
        assert figure is not None
        return figure

    def _figure(self, facts: ProcessStat) -> Figure | None:
        """Return None for a process that is gone."""
        try:
            who = details.who(facts.pid)
        except OSError:
            return None
        now = time.monotonic()
        then, before = self._seen.get(facts.pid, (now, None))
        self._seen[facts.pid] = now, facts
        use = Use(facts, samples.share(before, facts, now - then), who)
        return samples.of_process(use, self._machine, time.time())
