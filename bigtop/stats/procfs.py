# All processes of this machine, read from /proc as fast as Python can.
#
# Rule: a file is read once per look and process, and no more files than are needed: psutil asks several times
# for most of them, which for a thousand processes is the difference between a tenth of a second and one.

from __future__ import annotations

import os

from bigtop.record import Record

TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LONGEST = 65536


class ProcessStat(Record):
    """A line of /proc/PID/stat, as far as anybody here asks."""

    pid: int
    parent: int
    cpu: float  # seconds, user and system
    nice: int
    born: int  # in ticks since the machine started
    vms: int  # bytes
    rss: int


def facts(pid: int) -> ProcessStat | None:
    """Return what is known of a process; None when there is none."""
    try:
        text = _read(pid, "stat")
    except OSError:
        return None
    # The second field is the program's name in parentheses, and may hold both of these.
    fields = text[text.rindex(b")") + 2 :].split()
    return ProcessStat(
        pid,
        int(fields[1]),
        (int(fields[11]) + int(fields[12])) * TICK,
        int(fields[16]),
        int(fields[19]),
        int(fields[20]),
        int(fields[21]) * _PAGE,
    )


def table() -> dict[int, ProcessStat]:
    """Return every process of the machine, by pid."""
    every = (facts(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {one.pid: one for one in every if one is not None}


def owner(pid: int) -> int:
    """Return the real user id. Raises OSError when the process is gone."""
    text = _read(pid, "status")
    return int(text[text.index(b"\nUid:") + 5 :].split(maxsplit=1)[0])


def cmdline(pid: int) -> list[str]:
    """Return the words of the command line, or of what the process shows in its place; OSError as above."""
    text = _read(pid, "cmdline").decode("utf-8", "surrogateescape")
    return text.rstrip("\0").split("\0") if text else []


def _read(pid: int, name: str) -> bytes:
    fd = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, _LONGEST)
    finally:
        os.close(fd)
