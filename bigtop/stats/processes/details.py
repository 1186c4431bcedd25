# Details of a process: what is read less often than its use of the CPU, for it costs more or hardly changes.

from __future__ import annotations

import pwd
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from bigtop.stats.processes import procfs, samples
from bigtop.stats.processes.samples import Details

T = TypeVar("T")


def who(pid: int) -> Details:
    """Return only whose it is and what it runs. Raises OSError when the process is gone."""
    user = _username(procfs.owner(pid))
    return Details(user, samples.program(procfs.cmdline(pid)))


def of(pid: int, known: Details | None = None) -> Details:
    """Return all of it; what who() returns is taken from what is `known`. Raises OSError when the process is
    gone."""
    found = known or who(pid)
    pss, swap = _allowed(procfs.memory, pid) or (None, None)
    read, written = _allowed(procfs.transferred, pid) or (None, None)
    fds = _allowed(procfs.descriptors, pid)
    return found._replace(fds=fds, pss=pss, swap=swap, read_bytes=read, write_bytes=written)


def _allowed(look: Callable[[int], T], pid: int) -> T | None:
    """Return None for what is of another user, or gone meanwhile."""
    try:
        return look(pid)
    except OSError:
        return None


@lru_cache
def _username(uid: int) -> str:
    # A look into the user database costs as much as all the rest of a process' figures.
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
