# Commands that start, stop and signal what is described already.
#
# Several watchers start in the order of their priority, high first, and stop in the opposite order. What a
# waiting command replies is told from the processes before and after, not from what was asked for.

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence

from bigtop.control import parameters
from bigtop.control.command import Command, Role, Steering, find, matching, own_pid, pids, record
from bigtop.control.daemon import Daemon, Supervisor, Watcher
from bigtop.control.wire import RefusedError, Reply
from bigtop.errors import CommandError
from bigtop.supervisor.machine import Status

Before = dict[str, set[int]]


def snapshot(supervisor: Supervisor, names: Iterable[str]) -> Before:
    return {name: set(pids(supervisor, name)) for name in names}


async def settled(supervisor: Supervisor, names: Sequence[str]) -> None:
    """Wait for all of them, then raise the first failure: one that failed hides no other's end."""
    ends = await asyncio.gather(*(supervisor.settled(name) for name in names), return_exceptions=True)
    for end in ends:
        if isinstance(end, BaseException):
            raise end


def expect(supervisor: Supervisor, name: str, status: Status) -> None:
    """Refuse to say ok where a later command wanted something else, or the watcher gave up."""
    if name in supervisor.names:
        found = supervisor.watcher(name).status
        if found is not status:
            raise CommandError(f"{name} is {found.value}: a later command overtook this one, or it gave up")


def changes(supervisor: Supervisor, name: str, before: Before) -> dict[str, list[int]]:
    was, now = before[name], set(pids(supervisor, name))
    return {"stopped": sorted(was - now), "started": sorted(now - was), "kept": sorted(was & now)}


@record
class _Matching(Steering):
    """A command for one watcher, several or all."""

    name: str | None = parameters.argument(
        "a watcher, or a pattern; without: all of them", parameters.text, None, completes="watcher"
    )
    match: str = parameters.option(
        "how NAME is meant: simple, glob or regex", parameters.one_of("simple", "glob", "regex"), "glob"
    )

    def concerns(self, watcher: Watcher) -> bool:
        """Say whether a command for all of them is for this one, too."""
        return True

    def steer(self, supervisor: Supervisor, names: Sequence[str]) -> None:
        """Say what is wanted; `names` has the highest priority first."""
        raise NotImplementedError

    def info(self, supervisor: Supervisor, name: str, before: Before) -> object:
        """Say what became of one watcher; CommandError where that is not what was wanted."""
        raise NotImplementedError

    def apply(self, daemon: Daemon) -> Awaitable[Reply]:
        supervisor = daemon.supervisor
        if self.name is not None:
            names = matching(supervisor, self.name, self.match)
        else:
            names = [name for name in supervisor.names if self.concerns(supervisor.watcher(name))]
        names = sorted(names, key=lambda name: (-supervisor.watcher(name).spec.priority, name))
        before = snapshot(supervisor, names)
        self.steer(supervisor, names)
        return self._end(supervisor, names, before)

    async def _end(self, supervisor: Supervisor, names: Sequence[str], before: Before) -> Reply:
        await settled(supervisor, names)
        if self.name is None:
            return {}
        infos = [self.info(supervisor, name, before) for name in names]
        return {"info": infos[0]} if len(infos) == 1 else {}


@record
class Start(_Matching):
    """Start watchers."""

    word = "start"
    role = Role.OPERATE

    def concerns(self, watcher: Watcher) -> bool:
        return watcher.spec.lifetime.autostart

    def steer(self, supervisor: Supervisor, names: Sequence[str]) -> None:
        for name in names:
            supervisor.start(name)

    def info(self, supervisor: Supervisor, name: str, before: Before) -> object:
        expect(supervisor, name, Status.ACTIVE)
        found = changes(supervisor, name, before)
        return {"started": found["started"], "kept": found["kept"]}


@record
class Stop(_Matching):
    """Stop watchers."""

    word = "stop"
    role = Role.OPERATE

    def steer(self, supervisor: Supervisor, names: Sequence[str]) -> None:
        for name in reversed(names):
            supervisor.stop(name)

    def info(self, supervisor: Supervisor, name: str, before: Before) -> object:
        expect(supervisor, name, Status.STOPPED)
        return None


@record
class Restart(_Matching):
    """Stop watchers and start them again; without a name, read the configuration before that."""

    word = "restart"
    role = Role.OPERATE

    def apply(self, daemon: Daemon) -> Awaitable[Reply]:
        # super() does not find its class here: a dataclass with slots is a copy of the one in the source.
        return self._all(daemon) if self.name is None and daemon.has_file else _Matching.apply(self, daemon)

    async def _all(self, daemon: Daemon) -> Reply:
        await daemon.reload_config(dry_run=False)
        return await _Matching.apply(self, daemon)

    def concerns(self, watcher: Watcher) -> bool:
        return watcher.spec.lifetime.autostart or watcher.status is Status.ACTIVE

    def steer(self, supervisor: Supervisor, names: Sequence[str]) -> None:
        for name in names:
            supervisor.restart(name)

    def info(self, supervisor: Supervisor, name: str, before: Before) -> object:
        expect(supervisor, name, Status.ACTIVE)
        return changes(supervisor, name, before)


@record
class Reload(Steering):
    """Replace processes one by one, without a gap."""

    word = "reload"
    role = Role.OPERATE
    name: str | None = parameters.argument(
        "one watcher; without: all of them", parameters.text, None, completes="watcher"
    )
    graceful: bool = parameters.flag(
        "stop all processes and start new ones", default=True, opposite="terminate"
    )
    sequential: bool = parameters.flag("stop each process before its successor starts")

    def apply(self, daemon: Daemon) -> Awaitable[Reply]:
        supervisor = daemon.supervisor
        if self.name is None:
            # Who wants new processes everywhere does not want to start what was stopped.
            names = [one for one in supervisor.names if supervisor.watcher(one).status is not Status.STOPPED]
        else:
            names = [find(supervisor, self.name)]
        before = snapshot(supervisor, names)
        for name in names:
            supervisor.reload(name, graceful=self.graceful, sequential=self.sequential)
        return self._end(supervisor, names, before)

    async def _end(self, supervisor: Supervisor, names: Sequence[str], before: Before) -> Reply:
        await settled(supervisor, names)
        return {} if self.name is None else {"info": changes(supervisor, names[0], before)}


@record
class _Scaling(Steering):
    name: str = parameters.argument("the watcher", parameters.text, completes="watcher")
    nb: int = parameters.argument("how many", parameters.natural, 1)

    def scale(self, daemon: Daemon, by: int) -> Reply | Awaitable[Reply]:
        supervisor = daemon.supervisor
        name = find(supervisor, self.name)
        watcher = supervisor.watcher(name)
        if watcher.spec.singleton:
            return {"numprocesses": watcher.numprocesses, "singleton": True}
        supervisor.scale(name, max(0, watcher.numprocesses + by))
        return self._end(supervisor, name, watcher.numprocesses)

    async def _end(self, supervisor: Supervisor, name: str, count: int) -> Reply:
        await settled(supervisor, [name])
        return {"numprocesses": count}


@record
class Increase(_Scaling):
    """Have more processes."""

    word = "incr"
    role = Role.OPERATE

    def apply(self, daemon: Daemon) -> Reply | Awaitable[Reply]:
        return self.scale(daemon, self.nb)


@record
class Decrease(_Scaling):
    """Have fewer processes."""

    word = "decr"
    role = Role.OPERATE

    def apply(self, daemon: Daemon) -> Reply | Awaitable[Reply]:
        return self.scale(daemon, -self.nb)


@record
class Signal(Command):
    """Send a signal to processes."""

    word = "signal"
    role = Role.OPERATE
    name: str = parameters.argument("the watcher", parameters.text, completes="watcher")
    pid: int | None = parameters.argument(
        "one process of it; without: all of them", parameters.natural, None, completes="pid"
    )
    signum: int = parameters.argument(
        "the signal, by name or number", parameters.signal_number, completes="signal"
    )
    childpid: int | None = parameters.option(
        "one child of that process", parameters.natural, kind=parameters.Kind.WIRE_ONLY
    )
    children: bool = parameters.flag("signal only their direct children")
    recursive: bool = parameters.flag("signal them and all that descends from them")

    def apply(self, daemon: Daemon) -> Reply:
        supervisor = daemon.supervisor
        name = find(supervisor, self.name)
        if self.childpid is not None:
            if self.pid is None:
                raise RefusedError("cannot specify childpid without pid")
            own_pid(supervisor, name, self.pid)
            supervisor.signal_child(name, self.pid, self.childpid, self.signum)
            return {}
        targets = list(pids(supervisor, name)) if self.pid is None else [own_pid(supervisor, name, self.pid)]
        for pid in targets:
            supervisor.signal(name, pid, self.signum, children=self.children, recursive=self.recursive)
        return {}


@record
class Kill(Steering):
    """End processes: a signal, a time to leave, then SIGKILL. The watcher replaces them."""

    word = "kill"
    role = Role.OPERATE
    name: str = parameters.argument("the watcher", parameters.text, completes="watcher")
    pid: int | None = parameters.argument(
        "one process of it; without: all of them", parameters.natural, None, completes="pid"
    )
    signum: int | None = parameters.option(
        "instead of its stop_signal", parameters.signal_number, completes="signal"
    )
    graceful_timeout: float | None = parameters.option(
        "seconds, instead of its graceful_timeout", parameters.seconds
    )

    def apply(self, daemon: Daemon) -> Awaitable[Reply]:
        supervisor = daemon.supervisor
        name = find(supervisor, self.name)
        targets = list(pids(supervisor, name)) if self.pid is None else [own_pid(supervisor, name, self.pid)]
        ends = [supervisor.kill(name, pid, self.signum, self.graceful_timeout) for pid in targets]
        return self._end(ends)

    async def _end(self, ends: list[Awaitable[None]]) -> Reply:
        await asyncio.gather(*ends)
        return {}
