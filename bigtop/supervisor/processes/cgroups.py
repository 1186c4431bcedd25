# Control groups (cgroups(7), version 2): limits for a process with all that descends from it, and the one
# sure way to end all of that.
#
# Rules: each process has a group of its own, beside the others, below the group we were started in. Who may
# not make one is told so by an OSError with the path in it. Nothing here is needed for a watcher without
# `cgroup`, and nothing is touched for it.

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING

from bigtop.supervisor.policy.spec import Cgroup

if TYPE_CHECKING:
    from pathlib import Path

_PERIOD = 100_000  # microseconds; the kernel's own default for cpu.max
_OURS = "bigtop-supervisor"


def create(name: str, limits: Cgroup) -> Path:
    """Make a group with `limits`; OSError says why that cannot be."""
    home = _home()
    wanted = {}
    if limits.cpus is not None:
        wanted["cpu.max"] = f"{int(limits.cpus * _PERIOD)} {_PERIOD}"
    if limits.memory is not None:
        wanted["memory.max"] = str(limits.memory)
    if limits.pids is not None:
        wanted["pids.max"] = str(limits.pids)
    _delegate(home, {file.partition(".")[0] for file in wanted})
    group = home / re.sub(r"[^\w.-]", "_", f"bigtop-{os.getpid()}-{name}")
    group.mkdir(exist_ok=True)
    try:
        for file, value in wanted.items():
            (group / file).write_text(value)
    except OSError:
        remove(group)
        raise
    return group


def named(path: str) -> Path:
    """Return the group that was made at `path`."""
    return _home() / path


def kill(group: Path) -> None:
    """End everything in the group, without a race against its forks (Linux 5.14)."""
    with contextlib.suppress(OSError):
        (group / "cgroup.kill").write_text("1")


def members(group: Path) -> list[int]:
    try:
        return [int(pid) for pid in (group / "cgroup.procs").read_text().split()]
    except OSError:
        return []


def of_service() -> set[int]:
    """Return all processes of the service of systemd that we are; none where we are no service."""
    try:
        home = _home()
    except OSError:
        return set()
    folders = os.walk(home) if home.name.endswith(".service") else ()
    return {int(pid) for folder, _, _ in folders for pid in _lines(os.path.join(folder, "cgroup.procs"))}


def _lines(path: str) -> list[str]:
    """Return those of a file; none when its group is gone."""
    try:
        with open(path) as file:
            return file.read().split()
    except OSError:
        return []


def remove(group: Path) -> None:
    """Remove an empty group; one that is not stays."""
    with contextlib.suppress(OSError):
        group.rmdir()


def _home() -> Path:
    """Return the folder of the group that we are in."""
    from pathlib import Path  # most programs limit nothing

    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    roots = [fields.split()[4] for fields in mounts if " - cgroup2 " in fields]
    paths = [
        line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")
    ]
    if not roots or not paths:
        raise FileNotFoundError(2, "there are no control groups of version 2 here", "/sys/fs/cgroup")
    home = Path(roots[0]) / paths[0].strip("/")
    return home.parent if home.name == _OURS else home


def _delegate(home: Path, controllers: set[str]) -> None:
    """Let groups below `home` be limited by `controllers`.

    A group that limits groups below it may hold no process itself (cgroups(7), "no internal processes"), so
    all that is in it, we for one, moves to a group beside the ones we make.
    """
    there = set((home / "cgroup.controllers").read_text().split())
    if missing := controllers - there:
        raise FileNotFoundError(2, f"no controller for {', '.join(sorted(missing))}", str(home))
    on = set((home / "cgroup.subtree_control").read_text().split())
    if controllers <= on:
        return
    ours = home / _OURS
    ours.mkdir(exist_ok=True)
    for pid in members(home):
        with contextlib.suppress(ProcessLookupError):
            (ours / "cgroup.procs").write_text(str(pid))
    (home / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in sorted(controllers - on)))
