# What /proc tells of other processes.
#
# Rule: whatever was listed may have vanished before it is read, and then it is left out.

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil


def descriptors(pid: int) -> dict[int, str]:
    """Return what a process has open, by number; nothing when it has ended."""
    found = {}
    for link in _entries(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError, ProcessLookupError):
            found[int(link.name)] = os.readlink(link)
    return found


def open_files(pid: int, start: str) -> Iterator[tuple[str, int]]:
    """Open anew each file of a process whose name begins so; yield the name and a descriptor to be closed."""
    for number, name in descriptors(pid).items():
        if not name.startswith(start):
            continue
        with suppress(OSError):  # another thing has that number meanwhile, which may not even be a file
            fd = os.open(f"/proc/{pid}/fd/{number}", os.O_RDWR | os.O_NONBLOCK)
            if os.readlink(f"/proc/self/fd/{fd}") == name:
                yield name, fd
            else:
                os.close(fd)


def descriptor_infos(pid: int) -> list[str]:
    """Return what the kernel says of each open file of a process (proc(5), fdinfo)."""
    return _texts(f"/proc/{pid}/fdinfo", "")


def threads(pid: int, file: str) -> list[str]:
    """Return a file, "stat" or "status", of each thread of a process."""
    return _texts(f"/proc/{pid}/task", file)


def descendants(pid: int) -> list[psutil.Process]:
    """Return all that is below a process, parents before their children, the ended ones that nobody has
    collected included. Psutil would read every process of the machine for that."""
    found: list[psutil.Process] = []
    waiting = [pid]
    while waiting:
        for child in " ".join(threads(waiting.pop(), "children")).split():
            with suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(int(child)))
                waiting.append(int(child))
    return found


def listens(port: int) -> bool:
    """Whether anybody on this machine listens on a TCP port."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in _lines(f"/proc/net/{name}")]
    return any(state == "0A" and address.endswith(f":{port:04X}") for _, address, _, state, *_ in lines)


def words(process: psutil.Process) -> list[str]:
    """Return its command; nothing when it has ended, and for a moment behind its exec."""
    with suppress(psutil.NoSuchProcess):
        return process.cmdline()
    return []


def has_ended(pid: int) -> bool:
    """Whether a process has ended; whoever adopted it, as process 1, may take seconds to collect it."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _lines(file: str) -> list[str]:
    with suppress(FileNotFoundError):  # tcp6 is there where IPv6 is
        return Path(file).read_text().splitlines()[1:]
    return []


def _texts(folder: str, file: str) -> list[str]:
    found = []
    for entry in _entries(folder):
        with suppress(FileNotFoundError, ProcessLookupError):
            found.append(entry.joinpath(file).read_text())
    return found


def _entries(folder: str) -> list[Path]:
    with suppress(FileNotFoundError, ProcessLookupError):
        return list(Path(folder).iterdir())
    return []
