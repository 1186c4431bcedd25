# Descendants of processes, read from /proc.
#
# Rules: only the tree that is asked for is walked (psutil reads every process of the machine, which makes
# stopping many processes a square). A process is named by its number and its time of birth, because numbers
# are used again.
#
# Orphans are looked for among our own children: we are a subreaper (kernel.become_subreaper), so whatever
# loses its parent comes to us. The session tells whose it was: every command leads a session of its own. What
# began a new session (a daemon) and lost its parent is found by its control group only, or because it was
# still seen below the process when that was asked to stop.

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable

from bigtop.record import Record

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


class Kin(Record):
    pid: int
    born: int  # in clock ticks since the machine started


class Stat(Record):
    """A line of /proc/PID/stat, as far as anybody here asks."""

    state: str
    parent: int
    group: int
    session: int
    born: int
    rss: int  # bytes
    cpu: float = 0.0  # seconds


def stat(pid: int) -> Stat | None:
    """Return what is known of a process; None when there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    # The second field is the program's name in parentheses, and may hold both of these.
    fields = text[text.rindex(b")") + 2 :].split()
    return Stat(
        fields[0].decode(),
        int(fields[1]),
        int(fields[2]),
        int(fields[3]),
        int(fields[19]),
        int(fields[21]) * _PAGE,
        (int(fields[11]) + int(fields[12])) / _TICKS,
    )


def born_at(pid: int, now: float) -> float:
    """Return when a process was born, on the clock of `now` (time.monotonic()); `now` when there is none."""
    known = stat(pid)
    # What a sleeping machine has slept is no part of that clock.
    return (
        now
        if known is None
        else now - max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - known.born / _TICKS)
    )


def command(pid: int) -> str:
    """Return the words of its command line; "" when there is none."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    return ""


def users(pid: int) -> list[int]:
    """Return the real, effective and saved user of a process; none when there is none."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", "rb") as file:
        for line in file:
            if line.startswith(b"Uid:"):
                return [int(word) for word in line.split()[1:4]]
    return []


def children(pid: int) -> list[int]:
    """Return the direct children; each thread has its own list of them."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            path = f"/proc/{pid}/task/{thread}/children"
            with contextlib.suppress(OSError), open(path, "rb") as file:  # a thread may have ended meanwhile
                found += map(int, file.read().split())
    return found


def named(pids: Iterable[int]) -> list[Kin]:
    """Return those of `pids` that live, with their times of birth; zombies left out."""
    known = ((pid, stat(pid)) for pid in pids)
    return [Kin(pid, it.born) for pid, it in known if it is not None and it.state not in "ZX"]


def descendants(pid: int) -> list[Kin]:
    """Return everything below `pid`, parents before their children; zombies left out."""
    found: list[Kin] = []
    waiting = children(pid)
    while waiting:
        for one in named([waiting.pop()]):
            found.append(one)
            waiting += children(one.pid)
    return found


def orphans(leader: int, adopted: Iterable[int]) -> list[Kin]:
    """Return what the session that `leader` led has left among `adopted`, and all that descends from it."""
    found: list[Kin] = []
    for number in adopted:
        known = stat(number)
        if known is None or known.state in "ZX" or leader not in (known.session, known.group):
            continue
        found += [Kin(number, known.born), *descendants(number)]
    return found


def alive(kin: Iterable[Kin]) -> list[Kin]:
    """Return those that are still there and not zombies."""
    before = set(kin)
    return [one for one in named(one.pid for one in before) if one in before]


def send(kin: Iterable[Kin], number: int) -> None:
    """Signal those that are still there."""
    for one in alive(kin):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(one.pid, number)


def cpu(root: int) -> float:
    """Return the CPU seconds of a process with all its descendants that are there."""
    everyone = [stat(root), *(stat(one.pid) for one in descendants(root))]
    return sum(known.cpu for known in everyone if known is not None)


def memory(root: int) -> int:
    """Return the resident bytes of a process with all its descendants (RSS). Any thread."""
    everyone = [stat(root), *(stat(one.pid) for one in descendants(root))]
    return sum(known.rss for known in everyone if known is not None)


def share_of_memory(root: int) -> int:
    """Return the bytes of a process with all its descendants, of what is shared each one's share (PSS); of
    those that may not be looked into so closely, the resident bytes. Any thread."""
    return sum(own_share(pid) for pid in (root, *(one.pid for one in descendants(root))))


def own_share(pid: int) -> int:
    """The same of a process alone."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as rollup:
        for line in rollup:
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    known = stat(pid)
    return known.rss if known is not None else 0
