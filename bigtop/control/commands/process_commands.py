# Commands that start, stop and signal what is described already.
#
# Several watchers start in the order of their priority, high first, and stop in the opposite order. What a
# waiting command replies is told from the processes before and after, not from what was asked for.

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence

from bigtop.control.commands import parameters
from bigtop.control.commands.base import Command, Role, Steering, everyone, find, matching, own_pid, pids
from bigtop.control.commands.target import Daemon, Supervisor, Watcher
from bigtop.control.protocol import RefusedError, Reply
from bigtop.errors import CommandError
from bigtop.supervisor.policy.deploys.trial import ROLLED_BACK
from bigtop.supervisor.policy.scaling import Bounds
from bigtop.supervisor.policy.watcher import Status

Before = dict[str, set[int]]


def snapshot(supervisor: Supervisor, names: Iterable[str]) -> Before:
    return {name: set(pids(supervisor, name)) for name in names}


async def settled(supervisor: Supervisor, names: Sequence[str]) -> Reply:
    """Wait for all of them, then raise the first failure: one that failed hides no other's end. Returns, for
    a reply, who did not end by itself."""
    import asyncio  # here: clients read these classes as well, and do without

    ends = await asyncio.gather(*(supervisor.settled(name) for name in names), return_exceptions=True)
    kills: dict[tuple[str, int], str] = {}
    for name, end in zip(names, ends, strict=True):
        if isinstance(end, BaseException):
            raise end
        kills |= {(name, pid): reason for pid, reason in end.items()}
    return killed(kills)


def killed(reasons: Mapping[tuple[str, int], str]) -> Reply:
    """Return what a reply says of processes, by watcher and pid, that did not end by themselves."""
    found = [f"{name}: process {pid} was killed: {reason}" for (name, pid), reason in reasons.items()]
    return {"killed": found} if found else {}


def expect(supervisor: Supervisor, name: str, status: Status) -> None:
    """Refuse to say ok where a later command wanted something else, or the watcher gave up."""
    if name in supervisor.names:
        found = supervisor.watcher(name).status
        if found is not status:
            raise CommandError(f"{name} is {found.value}: a later command overtook this one, or it gave up")


def changes(supervisor: Supervisor, name: str, before: Before) -> dict[str, list[int]]:
    was, now = before[name], set(pids(supervisor, name))
    return {"stopped": sorted(was - now), "started": sorted(now - was), "kept": sorted(was & now)}


class _Matching(Steering, kw_only=True):
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
            names = [name for name in everyone(supervisor) if self.concerns(supervisor.watcher(name))]
        names = sorted(names, key=lambda name: (-supervisor.watcher(name).spec.priority, name))
        before = snapshot(supervisor, names)
        self.steer(supervisor, names)
        return self._end(supervisor, names, before)

    async def _end(self, supervisor: Supervisor, names: Sequence[str], before: Before) -> Reply:
        told = await settled(supervisor, names)
        if self.name is None:
            return told
        infos = [self.info(supervisor, name, before) for name in names]
        return {"info": infos[0], **told} if len(infos) == 1 else told


class Start(_Matching, kw_only=True):
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


class Stop(_Matching, kw_only=True):
    """Stop watchers."""

    word = "stop"
    role = Role.OPERATE

    def steer(self, supervisor: Supervisor, names: Sequence[str]) -> None:
        for name in reversed(names):
            supervisor.stop(name)

    def info(self, supervisor: Supervisor, name: str, before: Before) -> object:
        expect(supervisor, name, Status.STOPPED)
        return None


class Restart(_Matching, kw_only=True):
    """Stop watchers and start them again; without a name, read the configuration before that."""

    word = "restart"
    role = Role.OPERATE

    def apply(self, daemon: Daemon) -> Awaitable[Reply]:
        return self._all(daemon) if self.name is None and daemon.has_file else super().apply(daemon)

    async def _all(self, daemon: Daemon) -> Reply:
        await daemon.reload_config(dry_run=False)
        return await super().apply(daemon)

    def concerns(self, watcher: Watcher) -> bool:
        return watcher.spec.lifetime.autostart or watcher.status is Status.ACTIVE

    def steer(self, supervisor: Supervisor, names: Sequence[str]) -> None:
        for name in names:
            supervisor.restart(name)

    def info(self, supervisor: Supervisor, name: str, before: Before) -> object:
        expect(supervisor, name, Status.ACTIVE)
        return changes(supervisor, name, before)


class Reload(Steering, kw_only=True):
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
            names = [
                one for one in everyone(supervisor) if supervisor.watcher(one).status is not Status.STOPPED
            ]
        else:
            names = [find(supervisor, self.name)]
        before = snapshot(supervisor, names)
        for name in names:
            supervisor.reload(name, graceful=self.graceful, sequential=self.sequential)
        wanted = {name: supervisor.watcher(name).generation for name in names if self.graceful}
        return self._end(supervisor, names, before, wanted)

    async def _end(
        self, supervisor: Supervisor, names: Sequence[str], before: Before, wanted: Mapping[str, int]
    ) -> Reply:
        told = {**await settled(supervisor, names), **_overtaken(supervisor, wanted)}
        if self.name is None:
            return told
        steps = list(supervisor.steps(names[0]))
        return {"info": changes(supervisor, names[0], before), "steps": steps, **told}


def _overtaken(supervisor: Supervisor, wanted: Mapping[str, int]) -> Reply:
    """Return, for a reply, which of the generations that were wanted are not what runs in the end."""
    found = {name: supervisor.watcher(name).generation for name in wanted if name in supervisor.names}
    lines = [
        f"{name}: a newer command overtook this one: generation {number} runs, not {wanted[name]}"
        for name, number in found.items()
        if wanted[name] not in (0, number)
    ]
    return {"overtaken": lines} if lines else {}


class Rollback(Steering, kw_only=True):
    """Go back to the code before: end a reload that is under way, or take up a generation that was kept."""

    word = "rollback"
    role = Role.OPERATE
    name: str | None = parameters.argument(
        "one watcher; without: all that can", parameters.text, None, completes="watcher"
    )

    def apply(self, daemon: Daemon) -> Awaitable[Reply]:
        supervisor = daemon.supervisor
        name = None if self.name is None else find(supervisor, self.name)
        before = snapshot(supervisor, supervisor.names if name is None else [name])
        return self._end(supervisor, supervisor.rollback(name), before)

    async def _end(self, supervisor: Supervisor, names: Sequence[str], before: Before) -> Reply:
        try:
            told = await settled(supervisor, names)
        except CommandError as error:
            if not str(error).endswith(ROLLED_BACK):
                raise
            told = {}
        return told if self.name is None else {"info": changes(supervisor, names[0], before), **told}


def _how_many(value: object) -> int:
    if parameters.whole(value) < 0:
        raise ValueError(f"{value!r} is negative; incr starts processes, decr ends some")
    return parameters.whole(value)


class _Scaling(Steering, kw_only=True):
    name: str = parameters.argument("the watcher", parameters.text, completes="watcher")
    nb: int = parameters.argument("how many", _how_many, 1)

    def scale(self, daemon: Daemon, by: int) -> Reply | Awaitable[Reply]:
        supervisor = daemon.supervisor
        name = find(supervisor, self.name)
        watcher = supervisor.watcher(name)
        if watcher.spec.singleton:
            return {"numprocesses": watcher.numprocesses, "singleton": True}
        supervisor.scale(name, max(0, watcher.numprocesses + by))
        return self._end(supervisor, name, watcher.numprocesses)

    async def _end(self, supervisor: Supervisor, name: str, count: int) -> Reply:
        return {"numprocesses": count, **await settled(supervisor, [name])}


class Increase(_Scaling, kw_only=True):
    """Have more processes."""

    word = "incr"
    role = Role.OPERATE

    def apply(self, daemon: Daemon) -> Reply | Awaitable[Reply]:
        return self.scale(daemon, self.nb)


class Decrease(_Scaling, kw_only=True):
    """Have fewer processes."""

    word = "decr"
    role = Role.OPERATE

    def apply(self, daemon: Daemon) -> Reply | Awaitable[Reply]:
        return self.scale(daemon, -self.nb)


def _bounds(value: object) -> Bounds:
    least, dots, most = str(value).partition("..")
    words = (least, most) if dots else (least, least)
    if not all(word.isascii() and word.isdigit() and len(word) < 6 for word in words):
        raise ValueError(f"{value!r} is neither a number nor two of them as in 2..8")
    bounds = Bounds(*map(int, words))
    if bounds.least > bounds.most or (dots and not bounds.least):
        raise ValueError(f"{value!r}: the first number is the least, 1 or more, the second one the most")
    return bounds


class Scale(Steering, kw_only=True):
    """Have so many processes; with 2..8 as many of them as the load asks for."""

    word = "scale"
    role = Role.OPERATE
    name: str = parameters.argument("the watcher", parameters.text, completes="watcher")
    count: Bounds = parameters.argument("a number, or the least and the most", _bounds)

    def apply(self, daemon: Daemon) -> Awaitable[Reply]:
        supervisor = daemon.supervisor
        name = find(supervisor, self.name)
        supervisor.bound(name, self.count)
        return self._end(supervisor, name)

    async def _end(self, supervisor: Supervisor, name: str) -> Reply:
        told = await settled(supervisor, [name])
        return {"numprocesses": supervisor.watcher(name).numprocesses, **told}


class Signal(Command, kw_only=True):
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


class Kill(Steering, kw_only=True):
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
        return self._end(name, targets, ends)

    async def _end(self, name: str, targets: Sequence[int], ends: Sequence[Awaitable[str]]) -> Reply:
        import asyncio

        reasons = await asyncio.gather(*ends)
        return killed({(name, pid): why for pid, why in zip(targets, reasons, strict=True) if why})
