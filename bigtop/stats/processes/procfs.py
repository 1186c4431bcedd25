# Processes of this machine, read from /proc as fast as Python can.
#
# Rule: a file is read once per look and process, and no more files than are needed: psutil asks several times
# for most of them, which for a thousand processes is the difference between a tenth of a second and one. Who
# looks again and again keeps the files open (StatFiles).

from __future__ import annotations

import os
import resource
from collections.abc import Iterable, Set
from typing import NamedTuple

from bigtop.record import Record

TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LONGEST = 65536
_STAT = 2048  # more than a line of /proc/PID/stat can have


class ProcessStat(NamedTuple):
    """A line of /proc/PID/stat, as far as anybody here asks."""

    pid: int
    parent: int
    cpu: float  # seconds, user and system
    nice: int
    born: int  # in ticks since the machine started
    vms: int  # bytes
    rss: int
    threads: int


def facts(pid: int) -> ProcessStat | None:
    """Return what is known of a process; None when there is none."""
    try:
        return _facts(pid, _read(pid, "stat"))
    except OSError:
        return None


def _facts(pid: int, text: bytes) -> ProcessStat:
    # The second field is the program's name in parentheses, and may hold both of these.
    fields = text[text.rindex(b")") + 2 :].split(None, 22)
    return ProcessStat(
        pid,
        int(fields[1]),
        (int(fields[11]) + int(fields[12])) * TICK,
        int(fields[16]),
        int(fields[19]),
        int(fields[20]),
        int(fields[21]) * _PAGE,
        int(fields[17]),
    )


def table() -> dict[int, ProcessStat]:
    """Return every process of the machine, by pid."""
    return of(pids())


def pids() -> set[int]:
    """Return those of every process of the machine."""
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def of(pids: Iterable[int]) -> dict[int, ProcessStat]:
    """Return what is known of these processes, by pid, without those that are gone."""
    return {one.pid: one for one in map(facts, pids) if one is not None}


class _File(NamedTuple):
    """An open /proc/PID/stat. It belongs to one process: it cannot be read once that is gone, whoever has the
    number then."""

    fd: int
    text: bytes
    facts: ProcessStat


class StatFiles:
    """Reads the same processes again and again, with at most `most` files open; the others' are opened each
    time. Whoever slept since the last time is the same object. One thread at a time."""

    def __init__(self, most: int | None = None) -> None:
        self._most = _half_of_all() if most is None else most
        self._files: dict[int, _File] = {}

    def of(self, pids: Set[int]) -> dict[int, ProcessStat]:
        """Return what is known of these processes, by pid, without those that are gone."""
        for pid in self._files.keys() - pids:
            os.close(self._files.pop(pid).fd)
        found = {}
        for pid in pids:
            file = self._files.get(pid)
            one = facts(pid) if file is None and len(self._files) >= self._most else self._read(pid, file)
            if one is not None:
                found[pid] = one
        return found

    def close(self) -> None:
        self.of(frozenset())

    def __del__(self) -> None:
        self.close()

    def _read(self, pid: int, file: _File | None) -> ProcessStat | None:
        try:
            if file is not None:
                text = os.pread(file.fd, _STAT, 0)
                if text == file.text:
                    return file.facts
                self._files[pid] = file = _File(file.fd, text, _facts(pid, text))
                return file.facts
        except OSError:  # it is gone; another one may have its number
            os.close(self._files.pop(pid).fd)
        return self._open(pid)

    def _open(self, pid: int) -> ProcessStat | None:
        try:
            fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            text = os.pread(fd, _STAT, 0)
        except OSError:
            os.close(fd)
            return None
        self._files[pid] = _File(fd, text, _facts(pid, text))
        return self._files[pid].facts


def _half_of_all() -> int:
    """Return half of the descriptors that may be open: the others are for those who come."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2


def owner(pid: int) -> int:
    """Return the real user id. Raises OSError when the process is gone."""
    text = _read(pid, "status")
    return int(text[text.index(b"\nUid:") + 5 :].split(maxsplit=1)[0])


def cmdline(pid: int) -> list[str]:
    """Return the words of the command line, or of what the process shows in its place; OSError as above."""
    text = _read(pid, "cmdline").decode("utf-8", "surrogateescape")
    return text.rstrip("\0").split("\0") if text else []


def memory(pid: int) -> tuple[int, int]:
    """Return bytes: its share of the memory (PSS), and what is swapped out. OSError as above, and where the
    process belongs to another user. The kernel adds up all mappings for it, so this is the costly one."""
    text = _read(pid, "smaps_rollup")
    return _kilobytes(text, b"\nPss:"), _kilobytes(text, b"\nSwapPss:")


def _kilobytes(text: bytes, key: bytes) -> int:
    if (at := text.find(key)) < 0:  # it has no memory any more; or the kernel has no swap
        return 0
    return int(text[at + len(key) :].split(maxsplit=1)[0]) * 1024


def transferred(pid: int) -> tuple[int, int]:
    """Return bytes read from disks and written to them so far. OSError as for memory()."""
    fields = _read(pid, "io").split()
    return int(fields[9]), int(fields[11])


def descriptors(pid: int) -> int:
    """Return how many are open. OSError as for memory()."""
    path = f"/proc/{pid}/fd"
    return os.stat(path).st_size or len(os.listdir(path))  # kernels before 6.2 do not tell the number


class Machine(Record):
    """What does not change while it runs."""

    booted: float  # seconds since the epoch
    memory: int  # bytes


def machine() -> Machine:
    booted = _after(_read("", "stat"), b"btime")
    return Machine(float(booted), _after(_read("", "meminfo"), b"MemTotal:") * 1024)


def _after(text: bytes, word: bytes) -> int:
    fields = text.split()
    return int(fields[fields.index(word) + 1])


def _read(pid: int | str, name: str) -> bytes:
    fd = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, _LONGEST)
    finally:
        os.close(fd)
