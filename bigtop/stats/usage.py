# What processes use, in the units and the words of Circus.
#
# Rule 1: one look at all processes serves a whole request: asking each of them for its children costs such a
# look every time, which is how 300 processes come to take seconds.
# Rule 2: off the event loop, in one thread: the memory of the last look, from which the share of the CPU
# since then is made, does not stand two.

from __future__ import annotations

import asyncio
import os
import pwd
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import psutil

from bigtop.stats import procfs
from bigtop.stats.procfs import ProcessStat

Figure = dict[str, object]

NOT_KNOWN = "N/A"
_UNITS = tuple((1024**power, letter) for power, letter in zip(range(6, 0, -1), "EPTGMK", strict=True))
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
        self._seen: dict[tuple[int, int], tuple[float, float]] = {}  # by pid and birth: when, with which CPU
        self._booted = psutil.boot_time()
        self._memory = psutil.virtual_memory().total

    def read(self, wids: Mapping[int, int]) -> dict[int, Figure | str]:
        table = procfs.table()
        children: dict[int, list[ProcessStat]] = {}
        for facts in table.values():
            children.setdefault(facts.parent, []).append(facts)
        self._forget(table)
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

    def _forget(self, table: Mapping[int, ProcessStat]) -> None:
        self._seen = {
            (pid, born): seen
            for (pid, born), seen in self._seen.items()
            if pid in table and table[pid].born == born
        }

    def _figure(self, facts: ProcessStat) -> Figure | None:
        """Return None for a process that is gone."""
        try:
            user, words = procfs.owner(facts.pid), procfs.cmdline(facts.pid)
        except OSError:
            return None
        created = self._booted + facts.born * procfs.TICK
        return {
            "mem_info1": human_size(facts.rss),
            "mem_info2": human_size(facts.vms),
            "cpu": self._share(facts),
            "mem": round(100 * facts.rss / self._memory, 3),
            "ctime": human_time(facts.cpu),
            "pid": facts.pid,
            "username": _username(user),
            "nice": facts.nice,
            "create_time": created,
            "age": max(0.0, time.time() - created),
            "cmdline": program(words),
            "children": [],
        }

    def _share(self, facts: ProcessStat) -> float:
        """Return the percentage of a core that it used since the last look; 0 at the first."""
        now = time.monotonic()
        key = facts.pid, facts.born
        before, used = self._seen.get(key, (now, facts.cpu))
        self._seen[key] = now, facts.cpu
        return round(100 * (facts.cpu - used) / (now - before), 1) if now > before else 0.0


@lru_cache
def _username(uid: int) -> str:
    # A look into the user database costs as much as all the rest of a process' figures.
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def program(cmdline: list[str] | None) -> str:
    """Return the bare name of the program: a title such as "bigtop: worker 1" has one, too."""
    words = (cmdline or [""])[0].split()
    return os.path.basename(words[0]) if words else NOT_KNOWN


def human_size(count: int) -> str:
    for unit, letter in _UNITS:
        if count >= unit:
            return f"{count / unit:.2f}{letter}"
    return f"{count}B"


def human_time(seconds: float) -> str:
    """Return minutes, seconds and hundredths: "3:07.25"."""
    hundredths = int(seconds * 100)
    return f"{hundredths // 6000}:{hundredths // 100 % 60:02}.{hundredths % 100:02}"
