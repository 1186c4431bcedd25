# Base of commands, and how watchers are named in one.
#
# Rule: apply() does what steers before it returns, and only what has to be waited for in what it returns.
# Thereby commands are obeyed in the order in which they come in, without a lock.

from __future__ import annotations

import fnmatch
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import ClassVar

from bigtop.control import events
from bigtop.control.commands import parameters
from bigtop.control.commands.patterns import LONGEST, Pattern, PatternError
from bigtop.control.commands.target import Daemon, Supervisor
from bigtop.control.protocol import RefusedError, Reply
from bigtop.record import Record


class Role(IntEnum):
    """Who may; each includes the one before it."""

    VIEW = 1  # look at states and figures
    OPERATE = 2  # start, stop, signal; see options, which may hold passwords
    ADMIN = 3  # change what is run: run anything, that is


class Command(Record, kw_only=True):
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


class Steering(Command, kw_only=True):
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


def _glob(text: str) -> Callable[[str], bool]:
    if len(text) > LONGEST:
        raise RefusedError(f"a pattern has at most {LONGEST} characters")
    return lambda name: fnmatch.fnmatchcase(name, text)


def everyone(supervisor: Supervisor) -> list[str]:
    """Return the watchers that a command for all of them means: not those that are Bigtop's own."""
    return [name for name in supervisor.names if not supervisor.watcher(name).spec.hidden]


def matching(supervisor: Supervisor, name: str, match: str) -> list[str]:
    """Return the watchers that `name` means; RefusedError when there are none."""
    if match == "simple":
        return [find(supervisor, name)]
    try:
        fits = Pattern(name).match if match == "regex" else _glob(name.lower())
    except PatternError as error:
        raise RefusedError(f"{name!r:.80} is no regular expression: {error}") from None
    found = [known for known in everyone(supervisor) if fits(known.lower())]
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
