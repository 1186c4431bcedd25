# CPU quota: how many CPUs this process may use, for `--workers auto`.
#
# A container is usually limited by a CPU quota of its control group, which os.cpu_count() does not see: on a
# 64-core host with a quota of two CPUs, 64 workers would throttle each other. The quota may sit on any group
# above ours, so every one on the way to the root is asked and the smallest counts.
#
# Version 2 has one tree (cpu.max: "QUOTA PERIOD" or "max PERIOD"); version 1 has one tree per controller
# (cpu.cfs_quota_us, -1 for none, and cpu.cfs_period_us). Both may be mounted at once; only one of them then
# owns the cpu controller, and only there the files exist.

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_V1_MOUNTS = ("cpu", "cpu,cpuacct", "cpuacct,cpu")  # below /sys/fs/cgroup, by distribution


def available_cpus(root: Path = Path("/")) -> int:
    """Return the CPUs that may be used, at least 1; a fraction of one counts as a whole one."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota(root)
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def cpu_quota(root: Path) -> float | None:
    """Return the CPUs that the control groups grant, or None for no limit (or no control groups).

    `root` is where proc/ and sys/ are found.
    """
    mount = root / "sys/fs/cgroup"
    limits: list[float] = []
    for controllers, group in _memberships(_read(root / "proc/self/cgroup")):
        if controllers == "":
            limits += (_v2(folder) for folder in _upwards(mount, group))
        elif "cpu" in controllers.split(","):
            for name in _V1_MOUNTS:
                limits += (_v1(folder) for folder in _upwards(mount / name, group))
    smallest = min(limits, default=math.inf)
    return None if smallest == math.inf else smallest


def _memberships(text: str) -> Iterator[tuple[str, PurePosixPath]]:
    """Yield (controllers, group) of each line "ID:CONTROLLERS:/PATH"; version 2 names no controllers."""
    for line in text.splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3:
            yield fields[1], PurePosixPath(fields[2])


def _upwards(mount: Path, group: PurePosixPath) -> Iterator[Path]:
    """Yield the folders of a group and of all above it, the mount point last.

    In a container the group may be named as the host sees it while only its own folder is mounted, or begin
    with "/.." when it lies outside of our cgroup namespace: folders that do not exist simply say nothing.
    """
    parts = [part for part in group.parts if part not in ("/", "..")]
    for length in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:length])


def _v2(folder: Path) -> float:
    quota, _, period = _read(folder / "cpu.max").strip().partition(" ")
    return _cpus(quota, period)


def _v1(folder: Path) -> float:
    return _cpus(_read(folder / "cpu.cfs_quota_us").strip(), _read(folder / "cpu.cfs_period_us").strip())


def _cpus(quota: str, period: str) -> float:
    """Return quota / period, or infinity for "max", -1, a missing file and nonsense."""
    if quota.isdigit() and period.isdigit() and int(period):
        return int(quota) / int(period)
    return math.inf


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
