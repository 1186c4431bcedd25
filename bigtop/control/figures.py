# What processes use, in the units and the words of Circus.
#
# Rule 1: one look at the table of processes serves a whole request: asking each process for its children
# costs a look at the whole table every time, which is how 300 processes come to take seconds.
# Rule 2: off the event loop, in one thread: psutil's memory of the last look, from which the share of the
# CPU since then is made, does not stand two.

from __future__ import annotations

import asyncio
import os
import pwd
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import psutil

Figure = dict[str, object]

NOT_KNOWN = "N/A"
NO_PROCESS = "No such process (stopped?)"  # instead of figures

_ATTRIBUTES = ["memory_info", "cpu_percent", "cpu_times", "uids", "nice", "create_time", "cmdline"]


class Figures:
    """Reads figures of processes; the event loop's side."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="figures")

    async def of(self, wids: Mapping[int, int]) -> dict[int, Figure | str]:
        """Return the figures of processes and of their children, by pid. `wids`: pid -> wid."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, _read, wids)

    async def of_daemon(self) -> Figure:
        return await asyncio.get_running_loop().run_in_executor(self._thread, _read_daemon)

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)


def _read(wids: Mapping[int, int]) -> dict[int, Figure | str]:
    processes = {process.pid: process for process in psutil.process_iter(["ppid"])}
    children: dict[int, list[psutil.Process]] = {}
    for process in processes.values():
        children.setdefault(process.info["ppid"], []).append(process)
    total = psutil.virtual_memory().total
    found: dict[int, Figure | str] = {}
    for pid, wid in wids.items():
        figure = _figure(processes[pid], total) if pid in processes else None
        if figure is None:
            found[pid] = NO_PROCESS
        else:
            figure["children"] = _figures(children.get(pid, ()), total)
            found[pid] = figure | {"started": figure["create_time"], "wid": wid}
    return found


def _read_daemon() -> Figure:
    process = psutil.Process()
    process.cpu_percent()
    time.sleep(0.01)  # a share of the CPU is one of some span of time
    figure = _figure(process, psutil.virtual_memory().total)
    assert figure is not None
    return figure


def _figures(processes: Iterable[psutil.Process], total: int) -> list[Figure]:
    return [figure for process in processes if (figure := _figure(process, total)) is not None]


def _figure(process: psutil.Process, total: int) -> Figure | None:
    """Return None for a process that is gone."""
    try:
        raw = process.as_dict(_ATTRIBUTES, ad_value=None)
    except psutil.NoSuchProcess:
        return None
    memory, times, created = raw["memory_info"], raw["cpu_times"], raw["create_time"]
    return {
        "mem_info1": human_size(memory.rss) if memory else NOT_KNOWN,
        "mem_info2": human_size(memory.vms) if memory else NOT_KNOWN,
        "cpu": _known(raw["cpu_percent"]),
        "mem": round(100 * memory.rss / total, 3) if memory else NOT_KNOWN,
        "ctime": human_time(times.user + times.system) if times else NOT_KNOWN,
        "pid": process.pid,
        "username": _username(raw["uids"].real) if raw["uids"] else NOT_KNOWN,
        "nice": _known(raw["nice"]),
        "create_time": _known(created),
        "age": max(0.0, time.time() - created) if created else NOT_KNOWN,
        "cmdline": program(raw["cmdline"]),
        "children": [],
    }


@lru_cache
def _username(uid: int) -> str:
    # A look into the user database costs as much as all the rest of a process' figures.
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _known(value: object) -> object:
    return NOT_KNOWN if value is None else value


def program(cmdline: list[str] | None) -> str:
    """Return the bare name of the program: a title such as "bigtop: worker 1" has one, too."""
    words = (cmdline or [""])[0].split()
    return os.path.basename(words[0]) if words else NOT_KNOWN


def human_size(count: int) -> str:
    for power, letter in reversed(list(enumerate("KMGTPE", start=1))):
        if count >= 1024**power:
            return f"{count / 1024**power:.2f}{letter}"
    return f"{count}B"


def human_time(seconds: float) -> str:
    """Return minutes, seconds and hundredths: "3:07.25"."""
    hundredths = int(seconds * 100)
    return f"{hundredths // 6000}:{hundredths // 100 % 60:02}.{hundredths % 100:02}"
