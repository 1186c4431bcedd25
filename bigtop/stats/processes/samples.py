# Figures of processes, made of two samples of them at a known distance.
#
# Rule: pure. What Circus has, has Circus' names and forms here, as its clients know them: of one process
# `cpu` is a percentage of a core, `mem` one of the machine's memory, `age` is seconds; a watcher has the mean
# of `cpu`, the sum of `mem` and the highest `age`. What is ours beside that: bytes, seconds and numbers.

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from bigtop.stats.processes.procfs import TICK, Machine, ProcessStat

Figure = dict[str, object]

NOT_KNOWN = "N/A"
_UNITS = tuple((1024**power, letter) for power, letter in zip(range(6, 0, -1), "EPTGMK", strict=True))


class Details(NamedTuple):
    """What of a process is too costly to be read each time. Bytes; None where we may not know."""

    user: str
    program: str
    fds: int | None = None
    pss: int | None = None
    swap: int | None = None
    read_bytes: int | None = None
    write_bytes: int | None = None


class Use(NamedTuple):
    """One process between two samples; `cpu` is a percentage of a core."""

    facts: ProcessStat
    cpu: float
    details: Details


def share(before: ProcessStat | None, after: ProcessStat, seconds: float) -> float:
    """Return the percentage of a core that a process used in the `seconds` between; 0 at its first sample."""
    if before is None or before.born != after.born or seconds <= 0:
        return 0.0
    return round(100 * (after.cpu - before.cpu) / seconds, 1)


def _created(facts: ProcessStat, machine: Machine) -> float:
    return round(machine.booted + facts.born * TICK, 2)


def began(facts: ProcessStat, machine: Machine) -> float:
    """Return when a process was born, in seconds since the epoch."""
    return machine.booted + facts.born * TICK


def age(facts: ProcessStat, machine: Machine, now: float) -> float:
    """Return seconds."""
    return max(0.0, round(now - began(facts, machine), 2))


def of_process(use: Use, machine: Machine, now: float) -> Figure:
    """Return what Circus tells of a process; `now` is seconds since the epoch."""
    facts = use.facts
    return {
        "mem_info1": human_size(facts.rss),
        "mem_info2": human_size(facts.vms),
        "cpu": use.cpu,
        "mem": round(100 * facts.rss / machine.memory, 3),
        "ctime": human_time(facts.cpu),
        "pid": facts.pid,
        "username": use.details.user,
        "nice": facts.nice,
        "create_time": _created(facts, machine),
        "age": age(facts, machine, now),
        "cmdline": use.details.program,
        "children": [],
    }


def _amounts(use: Use) -> tuple[float, int, int | None, int | None, int, int | None, int | None, int | None]:
    facts, details = use.facts, use.details
    return (
        use.cpu,
        facts.rss,
        details.pss,
        details.swap,
        facts.threads,
        details.fds,
        details.read_bytes,
        details.write_bytes,
    )


# What adds up, in the order of _amounts().
_AMOUNTS = ("cpu", "rss", "pss", "swap", "threads", "fds", "read_bytes", "write_bytes")


def more_of_process(use: Use) -> Figure:
    """Return what Circus does not tell of a process."""
    return dict(zip(_AMOUNTS[1:], _amounts(use)[1:], strict=True))


def of_tree(uses: Sequence[Use]) -> Figure:
    """Add up processes, how many there are as `processes`; None where that is not known of one of them."""
    sums: Figure = {"processes": len(uses)}
    for name, amounts in zip(_AMOUNTS, zip(*map(_amounts, uses), strict=True), strict=False):
        sums[name] = None if None in amounts else round(sum(amounts), 1)
    return sums


def of_watcher(figures: Iterable[Mapping[str, object]]) -> Figure:
    """Aggregate the figures of its processes as circusd-stats does: the mean of cpu, the sum of mem, the
    highest age."""
    figures = list(figures)
    result: Figure = {"pid": [figure["pid"] for figure in figures]}
    cpu, mem, ages = ([figure[name] for figure in figures] for name in ("cpu", "mem", "age"))
    result["cpu"] = NOT_KNOWN if NOT_KNOWN in cpu else sum(_numbers(cpu)) / len(cpu) if cpu else 0.0
    result["mem"] = NOT_KNOWN if NOT_KNOWN in mem else sum(_numbers(mem))
    result["age"] = max(_numbers(age for age in ages if age != NOT_KNOWN), default=NOT_KNOWN)
    return result


def _numbers(values: Iterable[object]) -> list[float]:
    return [value for value in values if isinstance(value, (int, float))]


def children_of(table: Mapping[int, ProcessStat]) -> dict[int, list[ProcessStat]]:
    """Return the children of each process that has some."""
    children: dict[int, list[ProcessStat]] = {}
    for facts in table.values():
        children.setdefault(facts.parent, []).append(facts)
    return children


def below(
    pid: int, children: Mapping[int, Sequence[ProcessStat]], others: frozenset[int]
) -> list[ProcessStat]:
    """Return all descendants of a process, without `others`, which are counted elsewhere, and theirs."""
    found: list[ProcessStat] = []
    seen = {pid}
    left = list(children.get(pid, ()))
    while left:
        facts = left.pop()
        if facts.pid in others or facts.pid in seen:
            continue
        seen.add(facts.pid)
        found.append(facts)
        left.extend(children.get(facts.pid, ()))
    return found


def program(cmdline: Sequence[str] | None) -> str:
    """Return the bare name of the program: a title such as "bigtop: worker 1" has one, too."""
    words = (cmdline or [""])[0].split()
    return os.path.basename(words[0]) if words else NOT_KNOWN


@lru_cache(4096)  # most processes have what they had before
def human_size(count: int) -> str:
    for unit, letter in _UNITS:
        if count >= unit:
            return f"{count / unit:.2f}{letter}"
    return f"{count}B"


def human_time(seconds: float) -> str:
    """Return minutes, seconds and hundredths: "3:07.25"."""
    hundredths = int(seconds * 100)
    return f"{hundredths // 6000}:{hundredths // 100 % 60:02}.{hundredths % 100:02}"
