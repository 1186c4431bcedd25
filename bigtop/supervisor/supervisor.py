# Supervisor: what an operator can ask for.
#
# Rules: every method answers at once; settled() is what to wait for. A command changes a wish, and whatever
# stands in its way (a dependency that is not ready, a hook that thinks) delays that watcher alone. The newest
# wish wins. CommandError says what is wrong with a command and changes nothing.
#
# It is made of parts that callers use, too: `watchers` to look, `configuration` to change which there are,
# `scheduler` for whose turn it is, `dispatcher` for events, which the machines decide about.

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from signal import SIGKILL

from bigtop.errors import CommandError
from bigtop.record import replace
from bigtop.supervisor.autoscaling import Autoscaling
from bigtop.supervisor.configuration import Configuration, overlaps
from bigtop.supervisor.dispatcher import Dispatcher, Hear, MakePool
from bigtop.supervisor.policy import dependencies, messages
from bigtop.supervisor.policy.deploys.changes import Changes
from bigtop.supervisor.policy.messages import Urgency
from bigtop.supervisor.policy.scaling import Bounds
from bigtop.supervisor.policy.spec import WatcherSpec
from bigtop.supervisor.policy.tally import Tally
from bigtop.supervisor.policy.watcher import RUNNING, Status
from bigtop.supervisor.processes import killing
from bigtop.supervisor.runtime import Watchers
from bigtop.supervisor.scheduler import Scheduler


class Supervisor:
    """Event loop only. A name of None means all watchers.

    `publish` is told every notice; `tally` counts them. `sockets` are the listening descriptors by name, as
    they are now.
    """

    def __init__(
        self,
        publish: Hear,
        make_pool: MakePool,
        sockets: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._publish = publish
        self.tally = Tally()
        self.watchers = Watchers()
        self.dispatcher = Dispatcher(self.watchers, make_pool, self.hear, self._stepped)
        self.scheduler = Scheduler(self.watchers, self.dispatcher, self.hear, sockets)
        self.autoscaling = Autoscaling(self.dispatcher.feed, self.hear, self.watchers.runtimes, {}, {}, {})
        self._changes = Changes()
        self.configuration = Configuration(
            self.watchers, self.dispatcher, self.scheduler, self._changes, self.hear
        )
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []

    # ---- what watchers are to do

    def start(self, name: str | None = None) -> None:
        """Start, after what it depends on. All: those with `autostart`."""
        specs = self.watchers.specs()
        names = [each for each in self.watchers.named(name) if name or specs[each].lifetime.autostart]
        for each in dependencies.with_dependencies(names, specs):
            self.scheduler.start(each)
        self.scheduler.advance()

    def stop(self, name: str | None = None, urgency: Urgency = Urgency.GRACEFUL) -> None:
        """Stop; all: those first that others depend on least. Only NOW does not wait for anybody."""
        for each in self.watchers.named(name):
            self.scheduler.stop(each, urgency)
        self.scheduler.advance()

    def restart(self, name: str | None = None) -> None:
        """Stop, then start."""
        for each in self.watchers.named(name):
            runtime = self.watchers.runtime(each)
            if runtime.machine.status is Status.STOPPED:
                self.start(each)
            elif runtime.hooks.has("before_stop") or runtime.hooks.has("before_start"):
                self.dispatcher.later(runtime.restart())
            else:
                self.dispatcher.feed(each, messages.Restart())

    def reload(self, name: str | None = None, *, graceful: bool = True, sequential: bool = False) -> None:
        """Replace every process, one by one; not `graceful`: restart. What does not run is started."""
        for each in self.watchers.named(name):
            machine = self.watchers.machine(each)
            if not graceful or machine.status not in RUNNING:
                self.restart(each)
            else:
                is_sequential = sequential or not overlaps(machine.spec, is_change=False)
                self.dispatcher.feed(each, messages.Reload(is_sequential))

    def rollback(self, name: str | None = None) -> list[str]:
        """Go back to the generation before: to that before a reload that is under way, else to the newest one
        that was kept. Return the watchers that do. CommandError: none does."""
        names = self.watchers.named(name)
        able = [each for each in names if self._can_go_back(each)]
        if not able:
            what = "is kept" if name is None else f"of {names[0]} is kept"
            raise CommandError(
                f"no generation before this one {what}: see keep_generations (--keep-generations)"
            )
        for each in able:
            self.dispatcher.feed(each, messages.Rollback())
        return able

    def _can_go_back(self, name: str) -> bool:
        machine = self.watchers.machine(name)
        return machine.status in RUNNING and machine.generations.can_go_back

    def scale(self, name: str, count: int) -> None:
        if self.watchers.machine(name).spec.singleton and count > 1:
            raise CommandError(f"{name} is a singleton: it has at most one process")
        self.dispatcher.feed(name, messages.Scale(count))

    def bound(self, name: str, bounds: Bounds) -> None:
        """Have the number of processes follow the load between two numbers, or stay where they are one."""
        spec = self.watchers.machine(name).spec
        if spec.singleton:
            raise CommandError(f"{name} is a singleton: it has at most one process")
        described = replace(spec, numprocesses=bounds.least, scaling=bounds.if_any)
        self.dispatcher.feed(name, messages.Update(described))
        self.hear(name, messages.Updated(("numprocesses",)))

    def kill(
        self, name: str, pid: int | None = None, signum: int | None = None, grace: float | None = None
    ) -> None:
        """End one process or all; others take their places."""
        for key in self._keys_of(name, pid):
            self.dispatcher.feed(name, messages.Leave(key, grace, signum))

    def signal(
        self, name: str, pid: int | None, signum: int, *, children: bool = False, recursive: bool = False
    ) -> None:
        """Send a signal that is no request to end: to the process, its children, or it and all below."""
        runtime = self.watchers.runtime(name)
        for key in self._keys_of(name, pid):
            if signum == SIGKILL:
                victim = runtime.machine.processes[key]
                if victim.pid is not None:
                    who = f"{name}: process {victim.wid}"
                    killing.by_client(who, victim.pid, children=children, recursive=recursive)
            runtime.pool.signal(key, signum, children=children, recursive=recursive)

    def close(self) -> None:
        """Let go of clocks and sockets; the processes are not touched."""
        self.scheduler.triggers.close()
        self.autoscaling.close()

    def _keys_of(self, name: str, pid: int | None) -> list[int]:
        processes = self.watchers.machine(name).processes
        keys = [key for key, proc in processes.items() if pid in (None, proc.pid)]
        if pid is not None and not keys:
            raise CommandError(f"{name} has no process {pid}")
        return keys

    # ---- what becomes of that

    def settled(self, name: str) -> asyncio.Future[None]:
        """Return what is done when nothing is under way for `name`: no start, stop, reload, removal."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((name, done))
        self._stepped()
        return done

    async def all_settled(self) -> None:
        """Return when nothing is under way for anybody, those included that were removed."""
        left = [runtime.machine.spec.name for runtime in self.watchers.abandoned]
        for name in (*self.watchers.names, *left):
            await self.settled(name)

    def wanted(self) -> list[WatcherSpec]:
        """Return those that run, or will, be it on demand."""
        return [
            spec
            for name, spec in self.watchers.specs().items()
            if self.watchers.machine(name).status is not Status.STOPPED
            or name in self.scheduler.coming
            or self.scheduler.triggers.armed(name)
        ]

    def tried_forever(self, name: str) -> list[str]:
        """Return those that `name` waits for, itself included, whose start may fail without end."""
        if name not in self.watchers or name in self.scheduler.going or name in self.configuration.removing:
            return []
        names = [name]
        if name in self.scheduler.coming:
            names = dependencies.with_dependencies(names, self.watchers.specs())
        machines = {each: self.watchers.machine(each) for each in names}
        return [
            each
            for each, machine in machines.items()
            if machine.status is Status.STARTING and machine.spec.restart.max_retry < 0
        ]

    def hear(self, name: str, notice: messages.Notice) -> None:
        """Every notice passes here: it is counted and published, and what follows from it is done."""
        self.tally.hear(name, notice, time.time())
        undo = self._changes.undo(name, notice, asyncio.get_running_loop().time())
        is_over = undo is None or not isinstance(notice, messages.GaveUp)  # else it goes on as it was before
        if is_over:
            self._publish(name, notice)
        if undo is not None:
            self.configuration.take_back(name, undo, notice)
        if name not in self.watchers:
            return
        if is_over:
            self.scheduler.follow(name, notice)
        runtime = self.watchers.runtime(name)
        if runtime.hooks.hooks:
            runtime.call_hooks(notice)
        if isinstance(notice, messages.Started | messages.Updated):
            self.autoscaling.watch()
        if name in self.configuration.removing and isinstance(notice, messages.Stopped):
            self.configuration.removed(name)
        self.scheduler.advance()

    def _stepped(self) -> None:
        """An event was taken in and all that followed from it is done: for those who wait for that."""
        self.scheduler.drop_done()
        for name, done in list(self._waiting):
            if done.done() or self._is_settled(name):
                self._waiting.remove((name, done))
                if not done.done():
                    done.set_result(None)

    def _is_settled(self, name: str) -> bool:
        wishes = (self.scheduler.coming, self.scheduler.going, self.configuration.removing)
        if any(one.is_calling for one in self.watchers.abandoned if one.machine.spec.name == name):
            return False
        runtime = self.watchers.runtimes.get(name)
        return runtime is None or (runtime.settled and not any(name in each for each in wishes))
