# Out-of-memory kills: how many processes the kernel has ended for want of memory, where we can see that.
#
# It says so in three places, none of which names a process. A control group counts those in it and below it
# (cgroups(7), version 2: memory.events); one of version 1 those in it (memory.oom_control); the machine all
# of them (/proc/vmstat, since Linux 4.13). The first that there is counts, for the others see more or less.

from __future__ import annotations

import contextlib
import re
from typing import Final

_MACHINE: Final = "/proc/vmstat"
_COUNT: Final = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


_SOON: Final = 5.0  # seconds in which the death of a process is told after the kernel has counted it


class Witness:
    """Sees whether the kernel ended processes since it was last asked, or made. `file` counts them, and
    `limit` has that of its control group."""

    def __init__(self, file: str, limit: str = "") -> None:
        self._file, self._limit = file, limit
        self._seen = self._count()
        self._untold, self._until = 0, 0.0

    @classmethod
    def of_ours(cls) -> Witness:
        """Return one for what runs where we do."""
        return cls(*places(_read("/proc/self/mountinfo"), _read("/proc/self/cgroup")))

    def of_death(self, now: float) -> str:
        """Return what there is to say of the kernel where it may have ended a process that died at the time
        `now`, by SIGKILL and not by us, else "". There are not more such deaths than it has counted."""
        count = self._count()
        if count != self._seen:
            self._untold, self._until = count - self._seen, now + _SOON
            self._seen = count
        if self._untold <= 0 or now > self._until:
            return ""
        self._untold -= 1
        limit = _read(self._limit).strip() if self._limit else ""
        bound = f", whose limit is {int(limit) >> 20} MiB" if limit.isdigit() and int(limit) < 1 << 60 else ""
        where = "of the machine" if self._file == _MACHINE else f"of {self._file.rpartition('/')[0]}{bound}"
        return f"the kernel was out of memory {where}"

    def _count(self) -> int:
        found = _COUNT.search(_read(self._file))
        return int(found[1]) if found else 0


def places(mounts: str, groups: str) -> tuple[str, str]:
    """Return the file that counts and the one with the limit, "" where there is none."""
    of = {names: path for _, names, path in (line.split(":", 2) for line in groups.splitlines())}
    for line in mounts.splitlines():
        before, _, behind = line.partition(" - ")
        root, mounted = before.split()[3:5]
        kind, options = behind.split()[0], behind.split()[-1].split(",")
        if kind == "cgroup2" and "" in of:
            found = _below(mounted, root, of[""]), "memory.events", "memory.max"
        elif kind == "cgroup" and "memory" in options and "memory" in of:
            found = _below(mounted, root, of["memory"]), "memory.oom_control", "memory.limit_in_bytes"
        else:
            continue
        folder, counts, limits = found
        if _COUNT.search(_read(f"{folder}/{counts}")):
            return f"{folder}/{counts}", f"{folder}/{limits}"
    return _MACHINE, ""


def memory_of_group() -> tuple[int | None, int]:
    """Return the limit of the control group that we are in, None where it has none, and how much of that is
    used, in bytes."""
    _counts, limit = places(_read("/proc/self/mountinfo"), _read("/proc/self/cgroup"))
    if not limit:
        return None, 0
    folder, name = limit.rsplit("/", 1)
    used = "memory.current" if name == "memory.max" else "memory.usage_in_bytes"
    most, now = _read(limit).strip(), _read(f"{folder}/{used}").strip()
    return (int(most) if most.isdigit() and int(most) < 1 << 60 else None), int(now) if now.isdigit() else 0


def _below(mounted: str, root: str, path: str) -> str:
    """Return where a group is seen: a container may have a part of the tree mounted, its own."""
    inside = path.removeprefix(root.rstrip("/")) if path.startswith(root) else ""
    return f"{mounted}/{inside.strip('/')}".rstrip("/")


def _read(path: str) -> str:
    with contextlib.suppress(OSError), open(path) as file:
        return file.read()
    return ""
