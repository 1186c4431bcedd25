# The running program as the control channel sees it: the protocols of control/commands/target.py, in fact.
#
# Rule: nothing is decided here. A call is passed on, or put into the words that control/ wants. What `bigtop
# serve` and `bigtop run` do differently they say themselves, as a Program.

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from signal import SIGKILL
from typing import Protocol

import psutil

import bigtop
from bigtop.control.commands import process_commands
from bigtop.errors import CommandError
from bigtop.launch.app import App
from bigtop.launch.control import caches, generations
from bigtop.launch.control.inspection import Inspector
from bigtop.launch.control.last_notices import LastNotices
from bigtop.launch.control.overview import Overview
from bigtop.launch.stopping import Stopping
from bigtop.launch.upgrading.upgrade import Upgrade
from bigtop.record import Record
from bigtop.sockets import ListeningSocket
from bigtop.stats.processes.usage import Figures
from bigtop.supervisor.policy.messages import Urgency
from bigtop.supervisor.policy.scaling import Bounds, Explanation
from bigtop.supervisor.policy.spec import WatcherSpec
from bigtop.supervisor.policy.watcher import RUNNING
from bigtop.supervisor.processes import killing
from bigtop.supervisor.streams.formats import Chunk
from bigtop.supervisor.supervisor import Supervisor


class Program(Protocol):
    """What is steered: a supervisor with what it runs, and the end of it."""

    supervisor: Supervisor
    notices: LastNotices
    over: asyncio.Event  # everything is stopped
    stopping: Stopping
    apps: dict[str, App]  # those that run, by the watcher's name
    upgrade: Upgrade

    @property
    def has_file(self) -> bool:
        """Whether there is a configuration to read anew."""

    def named_sockets(self) -> list[tuple[str, ListeningSocket]]: ...

    def dropped(self) -> Mapping[str, int]:
        """Return how many lines of output there was no room for, by watcher."""

    @property
    def figures_at(self) -> str | None:
        """The endpoint of a stats process, if there is one."""

    def options(self) -> Mapping[str, object]:
        """Return the words and values of `globaloptions`, besides the endpoints."""

    def look_for_certificates(self) -> None:
        """Have who keeps certificates look at them now."""

    def add(self, spec: WatcherSpec) -> None: ...

    def update(self, name: str, spec: WatcherSpec) -> None: ...

    def remove(self, name: str, *, nostop: bool) -> None: ...

    def stop(self) -> None: ...

    def reload_config(self, *, dry_run: bool) -> Sequence[str]:
        """Become what the file says now; return the steps in words."""

    def save(self, *, dry_run: bool) -> str:
        """Write what was changed back to the file; return the difference in text."""

    def tail(self, name: str, lines: int) -> list[Chunk]: ...


class Listener(Record):
    """One named socket in the words of listsockets."""

    name: str
    fd: int
    backlog: int
    host: str | None
    port: int | None
    path: str | None

    @classmethod
    def of(cls, name: str, listener: ListeningSocket) -> Listener:
        spec = listener.spec
        tcp = spec.path is None
        return cls(
            name,
            listener.fileno(),
            spec.backlog,
            spec.host if tcp else None,
            spec.port if tcp else None,
            spec.path,
        )


class Steered:
    """The supervisor. Calls return at once; settled() tells how it went."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._supervisor = supervisor = program.supervisor
        self.watcher = supervisor.watchers.machine
        self.add = program.add
        self.remove = program.remove

    @property
    def names(self) -> Sequence[str]:
        return self._supervisor.watchers.names

    @property
    def is_stopping(self) -> bool:
        return self._program.stopping.urgency is not None

    @property
    def sockets(self) -> Iterable[Listener]:
        return [Listener.of(name, listener) for name, listener in self._program.named_sockets()]

    def start(self, name: str) -> None:
        self._program.notices.forget_failure(name)
        self._supervisor.start(name)

    def stop(self, name: str, urgency: Urgency = Urgency.GRACEFUL) -> None:
        self._program.notices.forget_failure(name)
        self._supervisor.stop(name, urgency)

    def restart(self, name: str) -> None:
        self._program.notices.forget_failure(name)
        self._supervisor.restart(name)

    def reload(self, name: str, *, graceful: bool, sequential: bool) -> None:
        self._program.notices.forget_failure(name)
        self._supervisor.reload(name, graceful=graceful, sequential=sequential)

    def rollback(self, name: str | None) -> Sequence[str]:
        for each in self._supervisor.watchers.named(name):
            self._program.notices.forget_failure(each)
        return self._supervisor.rollback(name)

    def steps(self, name: str) -> Sequence[str]:
        return self._program.notices.steps(name)

    def scale(self, name: str, count: int) -> None:
        self._program.notices.forget_failure(name)
        self._supervisor.scale(name, count)

    def update(self, name: str, spec: WatcherSpec) -> None:
        self._program.notices.forget_failure(name)
        self._program.update(name, spec)

    async def kill(self, name: str, pid: int, signum: int | None, grace: float | None) -> str:
        self._supervisor.kill(name, pid, signum, grace)
        machine = self._supervisor.watchers.machine(name)
        while any(proc.pid == pid for proc in machine.processes.values()):
            await self._program.notices.next_death()
        return self._program.notices.kills(name).get(pid, "")

    def signal(self, name: str, pid: int, signum: int, *, children: bool, recursive: bool) -> None:
        self._supervisor.signal(name, pid, signum, children=children, recursive=recursive)

    def bound(self, name: str, bounds: Bounds) -> None:
        self._program.notices.forget_failure(name)
        self._supervisor.bound(name, bounds)

    def explain(self, name: str) -> Explanation | None:
        return self._supervisor.autoscaling.explain(name)

    def signal_child(self, name: str, pid: int, child: int, signum: int) -> None:
        machine = self._supervisor.watchers.machine(name)
        try:
            ours = any(proc.pid == pid for proc in machine.processes.values())
            if not ours or psutil.Process(child).ppid() != pid:
                raise CommandError(f"process {pid} of {name} has no child {child}")
            if signum == SIGKILL:
                killing.by_client(f"{name}: child of process {pid}", child)
            os.kill(child, signum)
        except (psutil.NoSuchProcess, ProcessLookupError) as error:
            raise CommandError(f"there is no process {child}") from error

    async def settled(self, name: str) -> Mapping[int, str]:
        settled = self._supervisor.settled(name)
        try:
            while not settled.done():
                if (obstacle := self._obstacle(name)) is not None:
                    raise CommandError(obstacle)
                await asyncio.wait(
                    [settled, self._program.notices.next_death()], return_when=asyncio.FIRST_COMPLETED
                )
        finally:
            settled.cancel()  # nothing, where it is done
        if (reason := self._program.notices.failure(name)) is not None:
            raise CommandError(f"{name}: {reason}")
        return self._program.notices.kills(name)

    def _obstacle(self, name: str) -> str | None:
        """Return why `name` does not start, if that need not ever come to an end."""
        running = name in self.names and self.watcher(name).status in RUNNING
        if running and (reason := self._program.notices.shortage(name)) is not None:
            return f"{name}: processes wait until there is room for them: {reason}"
        if running and self.watcher(name).generations.is_bereft:
            reason = self._program.notices.not_recovered(name)
            return f"{name}: its fork server died, and there is no other one: {reason}"
        for each in self._supervisor.tried_forever(name):
            if (reason := self._program.notices.backoff(each)) is not None:
                return f"{name}: {reason}" if each == name else f"{name}: waits for {each}: {reason}"
        return None

    async def extended_stats(self, name: str, pid: int, stats: dict[str, object]) -> None:
        hooks = self._supervisor.watchers.runtime(name).hooks
        if hooks.has("extended_stats"):
            await hooks.run("extended_stats", pid=pid, stats=stats)


class Controlled:
    """The program around the supervisor."""

    def __init__(self, program: Program, endpoint: str, pubsub: str) -> None:
        self._program = program
        self.supervisor = Steered(program)
        self.figures = Figures()
        self.inspector = Inspector(program.supervisor, program.apps)
        self.environ: Mapping[str, str] = dict(os.environ)
        self._overview = Overview(program)
        self._endpoints: dict[str, object] = {"endpoint": endpoint, "pubsub_endpoint": pubsub}

    @property
    def has_file(self) -> bool:
        return self._program.has_file

    def global_options(self) -> Mapping[str, object]:
        return {**self._endpoints, **self._program.options()}

    def version(self) -> Mapping[str, object]:
        attempts = self._program.upgrade.attempts
        return {
            "version": bigtop.__version__,
            "python": sys.version.split()[0],
            "pid": os.getpid(),
            "upgrades": attempts.count,
            **({"upgrade_refused": attempts.refused} if attempts.refused else {}),
        }

    def upgrade(self, limit: int) -> Awaitable[Mapping[str, object]]:
        return self._program.upgrade.begin(limit)

    def certificates(self, *, again: bool) -> Sequence[Mapping[str, object]]:
        found: list[Mapping[str, object]] = []
        if again:
            self._program.look_for_certificates()
        for name, app in self._program.apps.items():
            if again:
                app.certificates.renew(app.pool.hand_out)
            found += app.certificates.facts(name, app.pool.members.serves())
        return found

    def caches(self, name: str | None) -> Sequence[Mapping[str, object]]:
        found = [caches.facts(each, app) for each, app in self._apps(name).items()]
        return [one for one in found if one is not None]

    def purge(self, name: str | None, url: str | None) -> Mapping[str, int]:
        found = {each: caches.purge(app, url) for each, app in self._apps(name).items()}
        return {each: number for each, number in found.items() if number is not None}

    def _apps(self, name: str | None) -> Mapping[str, App]:
        return {each: app for each, app in self._program.apps.items() if name in (None, each)}

    def generations(self, name: str) -> Sequence[Mapping[str, object]]:
        return generations.facts(
            self._program.supervisor.watchers.machine(name), self._program.apps.get(name)
        )

    def overview(self) -> Mapping[str, object]:
        return self._overview.told(self._program.figures_at)

    async def quit(self) -> None:
        self._program.stop()
        await self._program.over.wait()

    def reload_config(self, *, dry_run: bool) -> Awaitable[Sequence[str]]:
        steps = self._program.reload_config(dry_run=dry_run)  # a wrong file is told at once
        if not dry_run:
            self._program.notices.forget_failures()
        return self._settled(steps, [] if dry_run else self._program.supervisor.watchers.names)

    async def _settled(self, steps: Sequence[str], names: Sequence[str]) -> Sequence[str]:
        await process_commands.settled(self.supervisor, names)
        # What was renamed is known by its new name when that of the old one is gone.
        if more := [name for name in self._program.supervisor.watchers.names if names and name not in names]:
            await process_commands.settled(self.supervisor, more)
        return steps

    def save(self, *, dry_run: bool) -> str:
        return self._program.save(dry_run=dry_run)

    def tail(self, name: str, lines: int) -> Sequence[Mapping[str, object]]:
        return [chunk.facts(chunk.lines) for chunk in self._program.tail(name, lines)]
