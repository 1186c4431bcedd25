# What a process tree costs, read from /proc.
#
# Rules:
# - CPU of a tree = user and system time of every process in it, and of the children it has already reaped;
#   so a worker that ends between two samples is not lost.
# - Memory is PSS: a page shared by n processes counts 1/n in each. RSS would charge every worker for what it
#   shares with its fork server.
# - A process may vanish while it is read; then it is as if it had not been there.

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    parent: int
    own: float  # CPU seconds of all its threads
    reaped: float  # CPU seconds of its ended and waited-for descendants


def parse_stat(text: str) -> Process:
    """Read /proc/PID/stat. The command name may contain spaces and ')': fields count from the last ')'."""
    pid = int(text.partition(" ")[0])
    fields = text.rpartition(")")[2].split()
    user, system, reaped_user, reaped_system = (int(field) for field in fields[11:15])
    return Process(pid, int(fields[1]), (user + system) * TICK, (reaped_user + reaped_system) * TICK)


def parse_pss(smaps_rollup: str) -> int:
    """Return bytes."""
    for line in smaps_rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def parse_cpus(stat: str) -> dict[int, tuple[float, float]]:
    """Read /proc/stat: core → (seconds busy since boot, seconds stolen by the hypervisor)."""
    cores = {}
    for line in stat.splitlines():
        name, *values = line.split()
        if name.startswith("cpu") and name != "cpu":
            user, nice, system, _idle, _iowait, irq, softirq, steal = (
                int(value) * TICK for value in values[:8]
            )
            cores[int(name[3:])] = (user + nice + system + irq + softirq, steal)
    return cores


def descendants(processes: Iterable[Process], roots: Iterable[int]) -> dict[int, Process]:
    by_pid = {process.pid: process for process in processes}
    children = defaultdict(list)
    for process in by_pid.values():
        children[process.parent].append(process.pid)
    found: dict[int, Process] = {}
    pending = [pid for pid in roots if pid in by_pid]
    while pending:
        pid = pending.pop()
        if pid not in found:
            found[pid] = by_pid[pid]
            pending += children[pid]
    return found


def tree(roots: Iterable[int]) -> dict[int, Process]:
    return descendants(_all_processes(), roots)


def cpu(processes: dict[int, Process]) -> float:
    return sum(process.own + process.reaped for process in processes.values())


def busiest(before: dict[int, Process], after: dict[int, Process], count: int) -> list[int]:
    """Return the `count` processes that used most CPU: the workers, whatever the server's layout."""

    def used(pid: int) -> float:
        return after[pid].own - (before[pid].own if pid in before else 0)

    return sorted(after, key=lambda pid: (-used(pid), pid))[:count]


def pss(pid: int) -> int:
    try:
        return parse_pss((PROC / str(pid) / "smaps_rollup").read_text())
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0


def rss(pid: int) -> int:
    try:
        return int((PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0


def private(pid: int) -> int:
    """Return the bytes that it shares with nobody."""
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def state(pid: int) -> str:
    """Return the letter of its state, "Z" for a zombie; empty when it is gone."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def run_seconds(pid: int) -> float:
    """Return what all its threads ran. In nanoseconds: ticks are too coarse for one that is idle."""
    total = 0
    try:
        for thread in (PROC / str(pid) / "task").iterdir():
            total += int((thread / "schedstat").read_text().split()[0])
    except (FileNotFoundError, ProcessLookupError):
        pass
    return total / 1e9


def name(pid: int) -> str:
    """Return the name of the program that it executes, at most 15 characters; empty when it is gone."""
    try:
        return (PROC / str(pid) / "comm").read_text().rstrip("\n")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def title(pid: int) -> str:
    """Return its command line as one text, which a program may have written itself; empty when it is gone."""
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return words.decode(errors="replace").strip()


def parse_tcp(table: str, port: int) -> dict[str, int]:
    """Read /proc/net/tcp: inodes of the connections of a local `port` → ports at their other ends."""
    found = {}
    for line in table.splitlines()[1:]:
        fields = line.split()
        ours, theirs = (int(address.rpartition(":")[2], 16) for address in fields[1:3])
        if ours == port and theirs:
            found[fields[9]] = theirs
    return found


def links(pid: int) -> list[str]:
    """Return where its descriptors lead."""
    found = []
    try:
        for link in (PROC / str(pid) / "fd").iterdir():
            try:
                found.append(os.readlink(link))
            except FileNotFoundError:
                continue
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def clients(pid: int, port: int) -> set[int]:
    """Return the ports of clients whose connections to `port` a process has open."""
    inodes = {link.removeprefix("socket:[").rstrip("]") for link in links(pid)}
    by_inode = parse_tcp((PROC / "net" / "tcp").read_text(), port)
    return {other for inode, other in by_inode.items() if inode in inodes}


def children(pid: int) -> set[int]:
    """Return its direct children; much cheaper than tree()."""
    found: set[int] = set()
    try:
        for thread in (PROC / str(pid) / "task").iterdir():
            found.update(map(int, (thread / "children").read_text().split()))
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def newest() -> str:
    """Return the number that was given to a process last: whether it changed is the cheapest question."""
    return (PROC / "loadavg").read_text().split()[4]


def cores_busy(cores: Iterable[int]) -> tuple[float, float]:
    cpus = parse_cpus((PROC / "stat").read_text())
    chosen = [cpus[core] for core in cores if core in cpus]
    return sum(busy for busy, _ in chosen), sum(steal for _, steal in chosen)


def _all_processes() -> Iterable[Process]:
    for name in os.listdir(PROC):
        if name.isdigit():
            try:
                yield parse_stat((PROC / name / "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue
