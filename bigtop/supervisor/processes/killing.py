# The one place that sends SIGKILL.
#
# Rule: each kill is a line in the log with its reason, before it happens. Who is killed that way says nothing
# any more: no exit handler runs, and whatever was under way is cut off.

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from bigtop.log import logger as get_logger
from bigtop.supervisor.processes import cgroups, descendants
from bigtop.supervisor.processes.child import Process

if TYPE_CHECKING:
    from pathlib import Path

logger = get_logger("bigtop.supervisor")


def say(who: str, pids: Iterable[int], reason: str, level: int = logging.WARNING) -> None:
    """Announce a kill."""
    logger.log(level, "%s (pid %s) is killed: %s", who, ", ".join(map(str, pids)), reason)


def by_client(who: str, pid: int, *, children: bool = False, recursive: bool = False) -> None:
    """Announce that a client sends SIGKILL: to a process, to its `children`, or to it and all below it."""
    reason = "a client sends that signal"
    below: list[int] = []
    if recursive:
        below = [one.pid for one in descendants.descendants(pid)]
    elif children:
        below = descendants.children(pid)
    if recursive or not children:
        say(who, [pid], reason)
    if below:
        say(f"{who}: what it started", below, reason)


def process(victim: Process, who: str, reason: str, level: int = logging.WARNING) -> None:
    """Kill a process, its group and everything that descends from it, if it runs.

    The group alone misses what called setsid(2), the descendants alone miss what was adopted since; the list
    is taken before the first kill because orphans lose their place in the tree.
    """
    if not victim.running:
        return
    say(who, [victim.pid], reason, level)
    below = descendants.descendants(victim.pid)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(victim.pid) == victim.pid:
            os.killpg(victim.pid, signal.SIGKILL)
    victim.send_signal(signal.SIGKILL)
    descendants.send(below, signal.SIGKILL)


def unwatched(pid: int, who: str, error: OSError) -> None:
    """Kill a child that was just made and cannot be watched, for want of a descriptor; reap_strangers()
    collects it."""
    say(who, [pid], f"it cannot be watched: {error.strerror}")
    os.kill(pid, signal.SIGKILL)


def kin(victims: Sequence[descendants.Kin], who: str, reason: str) -> None:
    """Kill processes of which nothing but their numbers is known."""
    if victims:
        say(who, [one.pid for one in victims], reason)
        descendants.send(victims, signal.SIGKILL)


def again(victims: Sequence[descendants.Kin]) -> None:
    """Kill those once more of whom that was said."""
    descendants.send(victims, signal.SIGKILL)


def group(victims: Path, who: str, reason: str) -> None:
    """Kill all that is in a control group."""
    if pids := cgroups.members(victims):
        say(who, pids, reason)
        cgroups.kill(victims)
