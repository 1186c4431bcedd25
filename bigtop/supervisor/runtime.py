# Watchers at run time: each with its machine and everything that performs for it, and the table of all.
#
# Rules: no decisions. Hooks that are asked (before_spawn, before_signal) stand between a decision and its
# performance; those that are told hear of it afterwards, beside everything else. What a worker is, is for a
# ProcessPool to know.

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from bigtop.errors import CommandError
from bigtop.record import Record
from bigtop.supervisor.hooks import Hooks
from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.plan import UpdateOutcome
from bigtop.supervisor.policy.processtable import ending
from bigtop.supervisor.policy.scaling import Work
from bigtop.supervisor.policy.spec import WatcherSpec
from bigtop.supervisor.policy.watcher import Watcher

if TYPE_CHECKING:  # with what makes requests, for those who want some
    from bigtop.supervisor.verification import Canaries, Verifier


class ProcessPool(Protocol):
    """How the processes of one watcher are made and ended; answers come back as events."""

    last_words: dict[int, list[str]]  # lines of the process that died last, by wid

    @property
    def canaries(self) -> Canaries:
        """What can be done for the trial of its processes."""

    def describe(self, spec: WatcherSpec) -> UpdateOutcome:
        """Take `spec` for generations to come, and for the processes that run if they can become that."""

    def prepare(self, generation: int) -> None: ...

    def discard(self, generation: int) -> None: ...

    def spawn(self, key: int, wid: int, generation: int, *, held: bool = False) -> None: ...

    def admit(self, key: int) -> None:
        """Let clients come to a process that was held."""

    def drain(self, key: int, grace: float, signum: int | None = None) -> None: ...

    def promote(self, promote: messages.Promote) -> None:
        """Have a worker become a fork server; only of processes that say when they are warm."""

    def kill(self, key: int, reason: str) -> None: ...

    def signal(self, key: int, number: int, *, children: bool = False, recursive: bool = False) -> None:
        """Send a signal that is no request to end."""

    def report(self, key: int, reason: str) -> None:
        """Write down what the process is doing."""

    @property
    def timed(self) -> bool:
        """Whether its processes can be late."""

    def look_for_late(self) -> None:
        """Find processes that are stuck; called about once a second, and only while any process is timed."""

    def pids(self) -> set[int]:
        """Return the children that are known, each of which somebody waits for."""

    def work(self) -> Mapping[int, Work]:
        """Return what each process has done since its start, by key."""

    def held(self) -> Record | None:
        """Return what another supervisor needs to go on with the processes; None while that cannot be."""

    def resume(self, state: Any) -> None:
        """Go on with what the pool of another supervisor has started. OSError: that cannot be."""


class WatcherRuntime:
    """Event loop only."""

    def __init__(
        self,
        machine: Watcher,
        pool: ProcessPool,
        hooks: Hooks,
        feed: Callable[[messages.Event], None],
        hear: Callable[[messages.Notice], None],
    ) -> None:
        self.machine = machine
        self.pool = pool
        self.hooks = hooks
        self.asked: dict[int, bool] = {}  # spawns that wait for a hook; False: they are not wanted any more
        self.restarting = False  # while its hooks are asked
        self.concludes = False  # soon, from what its processes told
        self._feed = feed
        self._hear = hear
        self._verifier: Verifier | None = None
        self._under_way: set[asyncio.Task[None]] = set()  # hooks
        self._timer: asyncio.TimerHandle | None = None

    @property
    def settled(self) -> bool:
        waits = self.asked or self.restarting or self.concludes or self._under_way
        return self.machine.settled and not waits

    @property
    def is_calling(self) -> bool:
        """Whether hooks are under way."""
        return bool(self._under_way)

    def abandon_hooks(self) -> None:
        """Do not wait for hooks any longer; what they run is killed."""
        for task in self._under_way:
            task.cancel()

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        """Call hooks beside everything else."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._called)

    def _called(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._feed(messages.Tick())  # for those who wait until it is over

    def _verify(self, verify: messages.Verify) -> None:
        if self._verifier is None:
            from bigtop.supervisor.verification import Verifier  # here: most reloads verify nothing

            self._verifier = Verifier(self.pool.canaries, lambda: self.machine.spec, self._feed)
        self._verifier.begin(verify)

    def perform(self, action: messages.Action) -> None:
        pool, hooks = self.pool, self.hooks
        match action:
            case messages.Prepare(generation):
                pool.prepare(generation)
            case messages.Discard(generation):
                if self._verifier is not None:
                    self._verifier.forget(generation)
                pool.discard(generation)
            case messages.Spawn(key) if hooks.has("before_spawn"):
                self.asked[key] = True
                self._later(self._ask_and_spawn(action))
            case messages.Drain(key) | messages.Kill(key) if key in self.asked:
                self.asked[key] = False
            case messages.Drain() if hooks.has("before_signal") or hooks.has("after_signal"):
                self._later(self._ask_and_drain(action))
            case messages.Report(key, reason, due):
                if due is None:
                    pool.report(key, reason)
                self._hear(action)
            case messages.Spawn() | messages.Verify() | messages.Admit():
                self._perform_birth(action)
            case messages.Drain() | messages.Kill() | messages.Signal() | messages.Promote():
                self._perform_end(action)
            case _:
                self._hear(action)

    def _perform_birth(self, action: messages.Spawn | messages.Verify | messages.Admit) -> None:
        match action:
            case messages.Spawn(key, wid, generation):
                self.pool.spawn(key, wid, generation, held=action.held)
            case messages.Verify():
                self._hear(action)
                self._verify(action)
            case messages.Admit(key):
                self.pool.admit(key)

    def _perform_end(
        self, action: messages.Drain | messages.Kill | messages.Signal | messages.Promote
    ) -> None:
        match action:
            case messages.Promote():
                self.pool.promote(action)
            case messages.Drain(key, grace, signum):
                self.pool.drain(key, grace, signum)
            case messages.Kill(key, reason):
                self.pool.kill(key, reason)
            case messages.Signal(key, number):
                self.pool.signal(key, number)

    def news(self, event: messages.Event) -> messages.Notice | None:
        """Return what the world is told of an event before the machine has it."""
        match event:
            case messages.Spawned(key) | messages.Exited(key) | messages.SpawnFailed(key):
                proc = self.machine.processes.get(key)
            case _:
                proc = None
        match event:
            case messages.Spawned(key, pid) if proc is not None:
                return messages.Born(key, proc.wid, pid)
            case messages.Exited(key, status) if proc is not None:
                why = ending(proc, status, self.machine.generation)
                return messages.Reaped(key, proc.wid, proc.pid or 0, status, proc.killed, why)
            case messages.SpawnFailed(_, reason, False) if proc is not None and proc.asked is None:
                return messages.NotSpawned(proc.wid, reason)
        return None

    def set_timer(self) -> None:
        """Come back with a Tick when the machine wants to be called."""
        self.cancel_timer()
        when = self.machine.wake_at()
        if when is not None:
            # asyncio's clock is time.monotonic(), so the machine's times are the loop's times.
            self._timer = asyncio.get_running_loop().call_at(when, self._feed, messages.Tick())

    def cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # ---- hooks that are asked

    async def _ask_and_spawn(self, spawn: messages.Spawn) -> None:
        allowed = await self.hooks.run("before_spawn")
        wanted = self.asked.pop(spawn.key)
        if allowed and wanted:
            self._perform_birth(spawn)
            return
        if wanted:
            self._feed(messages.Stop())
        reason = "the hook before_spawn refused" if wanted else "it is not wanted any more"
        self._feed(messages.SpawnFailed(spawn.key, reason))

    async def _ask_and_drain(self, drain: messages.Drain) -> None:
        proc = self.machine.processes.get(drain.key)
        pid = None if proc is None else proc.pid
        signum = drain.signum or int(self.machine.spec.stop.signal)
        if await self.hooks.run("before_signal", pid=pid, signum=signum):
            self.pool.drain(drain.key, drain.grace, drain.signum)
            await self.hooks.run("after_signal", pid=pid, signum=signum)

    async def restart(self) -> None:
        """Restart with the consent of the hooks, unless `restarting` is taken back meanwhile."""
        self.restarting = True
        await self.hooks.run("before_stop")
        allowed = await self.hooks.run("before_start")
        if self.restarting:
            self.restarting = False
            self._feed(messages.Restart() if allowed else messages.Stop())

    # ---- hooks that hear of what happened

    def call_hooks(self, notice: messages.Notice) -> None:
        match notice:
            case messages.Started():
                self._later(self._ask_or_stop("after_start"))
            case messages.Born(_, _, pid):
                self._later(self._ask_or_stop("after_spawn", pid=pid))
            case messages.Reaped(_, _, pid, status):
                self._later(self._tell_of_death(pid, status))
            case messages.Stopped():
                self._later(self._ask_or_stop("after_stop"))

    async def _ask_or_stop(self, hook: str, **facts: Any) -> None:
        if not await self.hooks.run(hook, **facts):
            self._feed(messages.Stop())

    async def _tell_of_death(self, pid: int, status: messages.ExitStatus) -> None:
        now = time.time()
        code = status.code if status.signal is None else -status.signal
        await self.hooks.run("before_reap", process_pid=pid, time=now)
        await self.hooks.run("after_reap", process_pid=pid, time=now, exit_code=code, process_status=code)


class Watchers:
    """All by name, in the order in which they were entered, and what is left of those that were removed.

    Only looks: what changes a watcher is an event, which goes to the dispatcher.
    """

    def __init__(self) -> None:
        self.runtimes: dict[str, WatcherRuntime] = {}
        self.abandoned: list[WatcherRuntime] = []  # removed, while anything of them is left

    def __contains__(self, name: str) -> bool:
        return name in self.runtimes

    @property
    def names(self) -> list[str]:
        return list(self.runtimes)

    def named(self, name: str | None) -> list[str]:
        """Return the name, if there is such a watcher; None means all of them."""
        return self.names if name is None else [self.machine(name).spec.name]

    def runtime(self, name: str) -> WatcherRuntime:
        if name not in self.runtimes:
            raise CommandError(f"program {name} not found")
        return self.runtimes[name]

    def machine(self, name: str) -> Watcher:
        return self.runtime(name).machine

    def machines(self) -> dict[str, Watcher]:
        return {name: runtime.machine for name, runtime in self.runtimes.items()}

    def specs(self) -> dict[str, WatcherSpec]:
        return {name: runtime.machine.spec for name, runtime in self.runtimes.items()}

    def pids(self) -> set[int]:
        return {pid for runtime in self._all() for pid in runtime.pool.pids() | runtime.hooks.pids}

    def remove(self, name: str) -> None:
        """Forget a watcher; its processes, if there are any, go on."""
        runtime = self.runtimes.pop(name)
        runtime.cancel_timer()
        self.abandoned = [one for one in self.abandoned if one.pool.pids() or one.is_calling]
        if runtime.machine.processes or runtime.is_calling:
            self.abandoned.append(runtime)

    def abandon_hooks(self) -> None:
        """Do not wait for hooks any longer."""
        for runtime in self._all():
            runtime.abandon_hooks()

    def _all(self) -> list[WatcherRuntime]:
        return [*self.runtimes.values(), *self.abandoned]
