# Commands that show what processes are doing at this moment.
#
# They change nothing; but `stack` and `profile` send signals to a process, so these take the role that may.

from __future__ import annotations

from typing import Any

from bigtop.control.commands import parameters
from bigtop.control.commands.base import Command, Role, everyone, find
from bigtop.control.commands.target import Daemon
from bigtop.control.protocol import RefusedError, Reply

LONGEST_WAIT = 60.0  # seconds
LONGEST_PROFILE = 600


def _watcher() -> Any:
    return parameters.argument(
        "one watcher; without: all of them", parameters.text, None, completes="watcher"
    )


def _slow(about: str) -> Any:
    return parameters.option(about, parameters.duration, 0.0)


def _target(about: str) -> Any:
    return parameters.argument(about, _word, completes="process")


def _word(value: object) -> str:
    return str(value) if type(value) is int else parameters.text(value)


class Requests(Command, kw_only=True):
    """Show the requests in progress."""

    word = "requests"
    role = Role.VIEW
    name: str | None = _watcher()
    slow: float = _slow("only those that last for so long: 1s, 500ms, 2m, or seconds")

    def apply(self, daemon: Daemon) -> Reply:
        name = None if self.name is None else find(daemon.supervisor, self.name)
        return {"requests": list(daemon.inspector.requests(name, self.slow))}


class Recent(Command, kw_only=True):
    """Show the last requests that were answered, as far as running workers remember them."""

    word = "recent"
    role = Role.VIEW
    name: str | None = _watcher()
    slow: float = _slow("only those that took so long")
    lines: int = parameters.option("how many", parameters.natural, 50)

    def apply(self, daemon: Daemon) -> Reply:
        name = None if self.name is None else find(daemon.supervisor, self.name)
        found = daemon.inspector.recent(name, self.slow)
        return {"requests": list(found[-self.lines :] if self.lines else ())}


class Certificates(Command, kw_only=True):
    """Show the certificates that are served with, and by whom; or read their files again."""

    word = "certificates"
    role = Role.OPERATE
    do: str = parameters.argument(
        "show, or reload: as when files have changed", parameters.one_of("show", "reload"), "show"
    )

    def apply(self, daemon: Daemon) -> Reply:
        return {"certificates": list(daemon.certificates(again=self.do == "reload"))}


class Cache(Command, kw_only=True):
    """Show what the caches of applications hold, and what they have answered."""

    word = "cache"
    role = Role.VIEW
    name: str | None = _watcher()

    def apply(self, daemon: Daemon) -> Reply:
        name = None if self.name is None else find(daemon.supervisor, self.name)
        return {"caches": list(daemon.caches(name))}


class Purge(Command, kw_only=True):
    """Have the caches of applications forget answers."""

    word = "purge"
    role = Role.OPERATE
    url: str | None = parameters.argument(
        "a URL, or what URLs begin with and a *; without scheme and host it is of any; without: everything",
        parameters.text,
        None,
    )
    name: str | None = parameters.option("one watcher; without: all of them", parameters.text, None)

    def apply(self, daemon: Daemon) -> Reply:
        name = None if self.name is None else find(daemon.supervisor, self.name)
        purged = daemon.purge(name, self.url)
        if not purged:
            raise RefusedError("no application has a cache" if name is None else f"{name} has no cache")
        return {"purged": purged}


class Generations(Command, kw_only=True):
    """Show which code there is: what runs, what is new, and what was kept to go back to."""

    word = "generations"
    role = Role.VIEW
    name: str | None = _watcher()

    def apply(self, daemon: Daemon) -> Reply:
        supervisor = daemon.supervisor
        names = everyone(supervisor) if self.name is None else [find(supervisor, self.name)]
        return {"generations": [one for name in names for one in daemon.generations(name)]}


class Stack(Command, kw_only=True):
    """Show what every thread, task and greenlet of a process is doing, and what it waits for."""

    word = "stack"
    role = Role.OPERATE
    target: str = _target("a worker (web/1), a process id, or the id of a running request")
    wait: float = parameters.option(
        "how long its Python code has to answer: 500ms is usual", parameters.duration, 0.5
    )
    native: bool = parameters.flag("with frames of C, by pystack or py-spy where one is installed")

    async def apply(self, daemon: Daemon) -> Reply:
        if self.wait > LONGEST_WAIT:
            raise RefusedError(f"wait is at most {LONGEST_WAIT:g} seconds")
        return await daemon.inspector.stack(self.target, self.wait, native=self.native)


class Profile(Command, kw_only=True):
    """Show where a worker spends its time: look at all its threads fifty times a second."""

    word = "profile"
    role = Role.OPERATE
    target: str = _target("a worker (web/1), its process id, or the id of a running request")
    seconds: int = parameters.option("for how long", parameters.natural, 10)

    async def apply(self, daemon: Daemon) -> Reply:
        if not 1 <= self.seconds <= LONGEST_PROFILE:
            raise RefusedError(f"seconds is between 1 and {LONGEST_PROFILE}")
        return await daemon.inspector.profile(self.target, self.seconds)
