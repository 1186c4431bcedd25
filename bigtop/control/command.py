# What every command is, and how watchers are named in one.
#
# Rule: apply() does what steers before it returns, and only what has to be waited for in what it returns.
# Thereby commands are obeyed in the order in which they come in, without a lock.

from __future__ import annotations

import fnmatch
import re
from collections.abc import Awaitable
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from bigtop.control import events, parameters
from bigtop.control.daemon import Daemon, Supervisor
from bigtop.control.wire import RefusedError, Reply

record = dataclass(frozen=True, slots=True, kw_only=True)


class Role(IntEnum):
    """Who may; each includes the one before it."""

    VIEW = 1  # look at states and figures
    OPERATE = 2  # start, stop, signal; see options, which may hold passwords
    ADMIN = 3  # change what is run: run anything, that is


class Command:
    """`word` is its name on the wire. The first line of the docstring is its help."""

    __slots__ = ()

    word: ClassVar[str]
    role: ClassVar[Role]

    def apply(self, daemon: Daemon) -> Reply | Awaitable[Reply]:
        """Carry it out. Raises CommandError, at once or when awaited."""
        raise NotImplementedError

    def replies_at_end(self) -> bool:
        """Say whether the reply waits for the end; if not, it is a mere ok as soon as apply() returned."""
        return True


@record
class Steering(Command):
    """A command whose effect takes its time."""

    waiting: bool = parameters.flag("reply when it is done, and say how it went")

    def replies_at_end(self) -> bool:
        return self.waiting


def find(supervisor: Supervisor, name: str) -> str:
    """Return the watcher's name as it is written in the configuration.

    Case does not count, and the name may be the one in the topics of events, which plugins send back.
    """
    wanted = name.lower()
    for known in supervisor.names:
        if known.lower() == wanted:
            return known
    for known in supervisor.names:
        if events.topic_word(known) == wanted:
            return known
    raise RefusedError(f"program {name} not found")


def matching(supervisor: Supervisor, name: str, match: str) -> list[str]:
    """Return the watchers that `name` means; RefusedError when there are none."""
    if match == "simple":
        return [find(supervisor, name)]
    try:
        pattern = re.compile(fnmatch.translate(name.lower()) if match == "glob" else name.lower())
    except re.error as error:
        raise RefusedError(f"{name!r} is no regular expression: {error}") from None
    found = [known for known in supervisor.names if pattern.match(known.lower())]
    return found or [find(supervisor, name)]


def pids(supervisor: Supervisor, name: str) -> dict[int, int]:
    """Return pid -> wid of the living processes of a watcher."""
    processes = supervisor.watcher(name).processes.values()
    return {process.pid: process.wid for process in processes if process.pid is not None}


def own_pid(supervisor: Supervisor, name: str, pid: int) -> int:
    """Return `pid` if it is a process of that watcher: nobody signals strangers through us."""
    if pid not in pids(supervisor, name):
        raise RefusedError(f"process {pid!r} not found in {name!r}")
    return pid
