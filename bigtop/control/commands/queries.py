# Commands that look and change nothing. Their replies are those of Circus to the letter.

from __future__ import annotations

from typing import Any

from bigtop.control.commands import parameters, watcher_options
from bigtop.control.commands.base import Command, Role, find, own_pid, pids
from bigtop.control.commands.target import Daemon, Listener
from bigtop.control.protocol import RefusedError, Reply
from bigtop.record import replace
from bigtop.supervisor.policy.spec import Command as ProcessCommand
from bigtop.supervisor.policy.spec import WatcherSpec


def _watcher() -> Any:
    return parameters.argument(
        "one watcher; without: all of them", parameters.text, None, completes="watcher"
    )


class List(Command, kw_only=True):
    """List the watchers, or the processes of one."""

    word = "list"
    role = Role.VIEW
    name: str | None = _watcher()

    def apply(self, daemon: Daemon) -> Reply:
        if self.name is None:
            return {"watchers": sorted(name.lower() for name in daemon.supervisor.names)}
        return {"pids": list(pids(daemon.supervisor, find(daemon.supervisor, self.name)))}


class Status(Command, kw_only=True):
    """Say whether watchers are active, starting, stopping or stopped."""

    word = "status"
    role = Role.VIEW
    name: str | None = _watcher()

    def apply(self, daemon: Daemon) -> Reply:
        supervisor = daemon.supervisor
        if self.name is None:
            return {"statuses": {name: supervisor.watcher(name).status.value for name in supervisor.names}}
        return {"status": supervisor.watcher(find(supervisor, self.name)).status.value}


class Overview(Command, kw_only=True):
    """Show every watcher with its processes: state, generation, age, how often they started and ended."""

    word = "overview"
    role = Role.VIEW

    def apply(self, daemon: Daemon) -> Reply:
        return dict(daemon.overview())


class NumProcesses(Command, kw_only=True):
    """Count the processes that run."""

    word = "numprocesses"
    role = Role.VIEW
    name: str | None = _watcher()

    def apply(self, daemon: Daemon) -> Reply:
        supervisor = daemon.supervisor
        if self.name is None:
            return {"numprocesses": sum(len(pids(supervisor, name)) for name in supervisor.names)}
        count = len(pids(supervisor, find(supervisor, self.name)))
        return {"numprocesses": count, "watcher_name": self.name}


class Explain(Command, kw_only=True):
    """Tell why a watcher has as many processes as it has, where that follows the load."""

    word = "explain"
    role = Role.VIEW
    name: str = parameters.argument("the watcher", parameters.text, completes="watcher")

    def apply(self, daemon: Daemon) -> Reply:
        supervisor = daemon.supervisor
        name = find(supervisor, self.name)
        told = supervisor.explain(name)
        count: Reply = {"name": name, "numprocesses": supervisor.watcher(name).numprocesses}
        if told is None:
            return count
        return {
            **count,
            "bounds": str(told.bounds),
            "held": told.held,
            "decisions": [
                {"seconds": round(age, 1), "numprocesses": one.wanted, "reason": one.reason}
                for age, one in told.decisions
            ],
        }


class NumWatchers(Command, kw_only=True):
    """Count the watchers."""

    word = "numwatchers"
    role = Role.VIEW

    def apply(self, daemon: Daemon) -> Reply:
        return {"numwatchers": len(daemon.supervisor.names)}


class Stats(Command, kw_only=True):
    """Show what processes use: memory, CPU, age."""

    word = "stats"
    role = Role.VIEW
    name: str | None = _watcher()
    process: int | None = parameters.argument("one process of it", parameters.natural, None, completes="pid")
    extended: bool = parameters.flag("let the hook extended_stats add what it knows")

    async def apply(self, daemon: Daemon) -> Reply:
        supervisor = daemon.supervisor
        if self.name is None:
            wids = {name: pids(supervisor, name) for name in supervisor.names}
            found = await daemon.figures.of(
                {pid: wid for those in wids.values() for pid, wid in those.items()}
            )
            return {"infos": {name: {pid: found[pid] for pid in those} for name, those in wids.items()}}
        name = find(supervisor, self.name)
        mine = pids(supervisor, name)
        if self.process is not None:
            mine = {self.process: mine[own_pid(supervisor, name, self.process)]}
        found = await daemon.figures.of(mine)
        if self.extended:
            for pid, figure in found.items():
                if isinstance(figure, dict):
                    await supervisor.extended_stats(name, pid, figure)
        if self.process is not None:
            return {"process": self.process, "info": found[self.process]}
        return {"name": self.name, "info": found}


class DaemonStats(Command, kw_only=True):
    """Show what the supervisor itself uses."""

    word = "dstats"
    role = Role.VIEW

    async def apply(self, daemon: Daemon) -> Reply:
        return {"info": await daemon.figures.of_daemon()}


class Get(Command, kw_only=True):
    """Show some options of a watcher."""

    word = "get"
    role = Role.OPERATE
    name: str = parameters.argument("the watcher", parameters.text, completes="watcher")
    keys: tuple[str, ...] = parameters.argument(
        "names of options", parameters.strings, kind=parameters.Kind.WORDS, completes="key"
    )

    def apply(self, daemon: Daemon) -> Reply:
        known = watcher_options.shown(_as_it_is(daemon, self.name))
        for key in self.keys:
            if key not in known:
                raise RefusedError(f"{key!r} option not found")
        return {"options": {key: known[key] for key in self.keys}}


class Options(Command, kw_only=True):
    """Show all options of a watcher."""

    word = "options"
    role = Role.OPERATE
    name: str = parameters.argument("the watcher", parameters.text, completes="watcher")

    def apply(self, daemon: Daemon) -> Reply:
        return {"options": watcher_options.shown(_as_it_is(daemon, self.name))}


class GlobalOptions(Command, kw_only=True):
    """Show the options of the supervisor, its endpoints first of all."""

    word = "globaloptions"
    role = Role.VIEW
    option: str | None = parameters.argument("one of them", parameters.text, None)

    def apply(self, daemon: Daemon) -> Reply:
        known = daemon.global_options()
        if self.option is None:
            return {"options": dict(known)}
        if self.option not in known:
            raise RefusedError(f"{self.option!r} not an existing option")
        return {"options": {self.option: known[self.option]}}


class ListSockets(Command, kw_only=True):
    """List the sockets that the supervisor holds open."""

    word = "listsockets"
    role = Role.VIEW

    def apply(self, daemon: Daemon) -> Reply:
        return {
            "sockets": [_socket(one) for one in sorted(daemon.supervisor.sockets, key=lambda one: one.fd)]
        }


def _socket(listener: Listener) -> dict[str, object]:
    where: dict[str, object] = {"path": listener.path}
    if listener.path is None:
        where = {"host": listener.host, "port": listener.port}
    return {"fd": listener.fd, "name": listener.name, "backlog": listener.backlog, **where}


class Tail(Command, kw_only=True):
    """Show the last lines that the processes of a watcher wrote."""

    word = "tail"
    role = Role.VIEW
    name: str = parameters.argument("the watcher", parameters.text, completes="watcher")
    lines: int = parameters.option("how many", parameters.natural, 20)

    def apply(self, daemon: Daemon) -> Reply:
        name = find(daemon.supervisor, self.name)
        lines = list(daemon.tail(name, self.lines))
        reply: dict[str, object] = {"name": name, "lines": lines}
        return reply if lines else {**reply, "note": _why_nothing(daemon.supervisor.watcher(name).spec)}


def _why_nothing(spec: WatcherSpec) -> str:
    if not isinstance(spec.target, ProcessCommand):
        return f"{spec.name}: workers of applications write to where Bigtop's own log goes"
    stdio = spec.target.stdio
    if stdio.stdout is None and stdio.stderr is None:
        return f"{spec.name} has neither stdout_stream nor stderr_stream: nobody reads what it writes"
    return f"the processes of {spec.name} that run have written nothing so far"


class Version(Command, kw_only=True):
    """Say which Bigtop runs there."""

    word = "version"
    role = Role.VIEW

    def apply(self, daemon: Daemon) -> Reply:
        return dict(daemon.version())


class Listen(Command, kw_only=True):
    """Show events as they happen."""

    word = "listen"
    role = Role.VIEW
    topics: tuple[str, ...] = parameters.argument(
        "beginnings of topics, such as watcher.web.", parameters.strings, (), kind=parameters.Kind.WORDS
    )

    def apply(self, daemon: Daemon) -> Reply:
        raise RefusedError("invalid message. use a pub/sub socket")


def _as_it_is(daemon: Daemon, name: str) -> WatcherSpec:
    """Return the description of a watcher with the number of processes that is wanted now."""
    watcher = daemon.supervisor.watcher(find(daemon.supervisor, name))
    return replace(watcher.spec, numprocesses=watcher.numprocesses)
