# The state machine of one watcher: an event in, actions out.
#
# Rule 1: every decision about processes is made here and in processtable.py, from (spec, what is known,
# event, now).
# Rule 2: nothing here performs anything. handle() returns actions; dispatcher.py has them performed.
# Rule 3: time is an argument: a number of seconds on any clock that never goes back.
# Rule 4: an event never raises. What is late, unknown or told twice changes nothing.
#
# How it works
#
# An event only changes what is wanted or what is known. Then converge() compares the two and returns what
# is missing; it neither knows nor cares which event it was. Start, stop, scale, reload, retirement, death and
# back-off are therefore one mechanism, and any of them may come in the middle of any other.
#
# A place is what the count counts. It is held by a process that stays (that was not asked to leave), or by a
# slot: the number of a process that died, where its successor has to wait, or never comes.
#
# A process that stays is fresh or stale. Stale is what has to be replaced: it is of another generation, or it
# asked to retire. Stale processes are replaced one by one, with one process more than the count (the surge),
# and one that is ready leaves only when the ready ones are more than the count. This is all there is to a
# rolling reload, to a roll-back and to a retirement.
#
# During a reload there are two generations: the one that is kept, and the one that is wanted. Until a process
# of the wanted one has become ready, and has passed the steps of the deploy policy, it is on trial: it gets
# exactly one process, the canary, and all else goes on with the kept one. A canary is held, that is, without
# clients, until the step that is about them. When a reload fails, the kept generation is simply the wanted
# one again.
#
# The deploy policy may allow a reload a larger surge, and fewer that are ready. So never more than count +
# surge + 1 processes were not asked to leave: the one is the canary.
#
# The fork server of a generation that works may die. Nobody knows what is on the disk by then, so the kept
# generation goes on with the processes that it has, and a new one is on trial, as in a reload that nobody
# waits for. Until that has shown that it works, nothing can be started: who retires serves on, and the places
# of those that die stay empty. When nobody is left that serves, there is nothing to lose, and the new one
# serves without a trial, as at the first start.
#
# A sequential reload, and every replacement in a singleton, goes without both: an old process leaves first,
# and its successor comes when it is gone.
#
# A Reload of a watcher that does not run is a Start. A Restart is a Stop that a Start follows.

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from math import inf
from signal import SIGHUP, SIGKILL
from types import MappingProxyType
from typing import TYPE_CHECKING

from bigtop.supervisor.policy.deploys.generations import Generations
from bigtop.supervisor.policy.deploys.refork import Refork
from bigtop.supervisor.policy.deploys.rollout import Roster
from bigtop.supervisor.policy.deploys.trial import Trial
from bigtop.supervisor.policy.messages import (
    Action,
    BootFailed,
    Event,
    Exited,
    Finished,
    GaveUp,
    GenerationFailed,
    GenerationReady,
    Late,
    Leave,
    Promoted,
    Ready,
    Rejected,
    Reload,
    Reloaded,
    Restart,
    Retiring,
    Rollback,
    Scale,
    Signal,
    Spawned,
    SpawnFailed,
    Start,
    Started,
    Stop,
    Stopped,
    Tick,
    Update,
    Urgency,
    Verified,
    Warmed,
)
from bigtop.supervisor.policy.processtable import Proc, ProcessState, ProcessTable, why_overdue
from bigtop.supervisor.policy.spec import WatcherSpec
from bigtop.supervisor.policy.timeouts import against

if TYPE_CHECKING:
    from random import Random

_ProcessEvent = (
    Leave | Spawned | SpawnFailed | Ready | BootFailed | Retiring | Warmed | Promoted | Late | Exited
)


class Status(Enum):
    STOPPED = "stopped"
    STARTING = "starting"  # until the wanted number was ready for the first time
    ACTIVE = "active"
    STOPPING = "stopping"


RUNNING = (Status.STARTING, Status.ACTIVE)


class Watcher:
    """One watcher: tell it what happened, do what it answers, come back with a Tick at wake_at().

    `keys` yields numbers that no watcher used before. Attributes are to be read only, but by snapshots.py.
    """

    def __init__(self, spec: WatcherSpec, keys: Iterator[int], random: Random | None = None) -> None:
        self.spec = spec
        self.status = Status.STOPPED
        self.numprocesses = spec.numprocesses  # as wanted
        self._urgency = Urgency.GRACEFUL
        self._again = False  # a Start follows the Stop
        self.generations = Generations()
        self.table = ProcessTable(spec, keys, random)
        self._trial = Trial(self.generations, self.table)
        self.refork = Refork(self.generations, self.table)
        self._actions: list[Action] = []

    @property
    def generation(self) -> int:
        """The wanted generation, 0 while there is none."""
        return self.generations[-1].number if self.generations else 0

    @property
    def processes(self) -> Mapping[int, Proc]:
        """By key, oldest first, until they are gone."""
        return MappingProxyType(self.table.processes)

    @property
    def settled(self) -> bool:
        """Whether nothing is under way but waits after deaths, and replacements of those that retire."""
        if self.status is not Status.ACTIVE:
            return self.status is Status.STOPPED
        return len(self.generations) == 1 and self.table.settled(self.numprocesses)

    def wake_at(self) -> float | None:
        """When the next Tick is due, if one is."""
        times = [proc.deadline for proc in self.table.processes.values()]
        if self.status in RUNNING:
            times += [time for each in self.generations for time in (each.prepare_at, each.late_at)]
            if self.generations.source(self.numprocesses).usable_since is not None:
                times.append(self.table.next_spawn())
            times.append(self.table.next_expiry())
        return min((time for time in times if time < inf), default=None)

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take one event in and draw all conclusions; return what to do, in this order."""
        return self.take(event, now) + self.converge(now)

    def take(self, event: Event, now: float) -> list[Action]:
        """Take one event in; return what it leads to by itself, in this order."""
        self._actions = []
        match event:
            case Start() if not self._again:
                self._start()
            case Stop(urgency) if self.status is not Status.STOPPED:
                self._again = False
                self.status = Status.STOPPING
                self._urgency = max(urgency, self._urgency, key=lambda urgency: urgency.value)
            case Restart() if self.status is not Status.STOPPED:
                self._again = True
                self.status = Status.STOPPING
            case Restart():
                self._start()
            case Scale(wanted):
                self.numprocesses = max(0, wanted)
            case Reload(sequential, remake):
                self._reload(sequential=sequential, remake=remake)
            case Rollback() if self.status in RUNNING and not self._again:
                self._tried(self._trial.go_back())
            case Update(spec):
                self.spec, self.numprocesses = spec, spec.nearest(self.numprocesses)
                self.table.describe(spec)
                self._actions += self.generations.let_go(spec.deploy.keep_generations)
            case GenerationReady() | GenerationFailed():
                self._tried(self._trial.hear_generation(event, now))
            case Verified() | Rejected():
                self._tried(self._trial.hear_verdict(event, now))
            case Start() | Stop() | Rollback() | Tick():
                pass
            case _:
                self._hear_process(event, now)
        return self._actions

    # ---- events change what is wanted, or what is known

    def _start(self) -> None:
        if self.status not in RUNNING:
            self.status = Status.STARTING
            self._urgency = Urgency.GRACEFUL
            self.table.slots.clear()
        if not self.generations:
            self.generations.add(by_reload=False)

    def _reload(self, *, sequential: bool, remake: bool) -> None:
        if self._again:
            return
        if self.spec.send_hup and not remake and self.status in RUNNING:
            self._actions += [Signal(proc.key, SIGHUP) for proc in self.table.staying()]
            self._actions.append(Reloaded(self.generation))
            return
        fresh = not self.generations
        self._start()
        if not fresh:
            for old in self.generations[1:]:
                self._actions += self._trial.drop(old.number)
            self.generations.add(by_reload=True, sequential=sequential or self.spec.singleton)

    def _hear_process(self, event: _ProcessEvent, now: float) -> None:
        proc = self.table.processes.get(event.key)
        if proc is None:
            return
        match event:
            case Leave(_, grace, signum):
                urgency = Urgency.NOW if signum == SIGKILL else Urgency.GRACEFUL
                self._actions += self.table.ask(proc, urgency, now, grace, signum)
            case Spawned(pid=pid):
                proc.pid = pid
            case Ready() if self.table.is_ready(proc, now):
                if not self.generations.is_canary(proc, self.numprocesses, verifies=True):
                    self.generations.prove(proc.generation)
            case BootFailed(reason=reason) if proc.state is ProcessState.STARTING:
                if self.generations.on_probation(proc.generation):
                    self._tried(self._trial.fail(proc.generation, reason, now))
            case Retiring():
                proc.retiring = event.cause
            case Warmed() | Promoted():
                self.refork.hear(proc, event)
            case Late():
                self._late(proc, event, now)
            case SpawnFailed() | Exited():
                self._gone(proc, event, now)

    def _is_canary(self, proc: Proc) -> bool:
        return self.generations.is_canary(proc, self.numprocesses, verifies=bool(self.spec.deploy.steps))

    def _late(self, proc: Proc, event: Late, now: float) -> None:
        self._actions += against(event, proc, self.table, now)
        if event.due is None and self._is_canary(proc):
            self._tried(self._trial.fail(proc.generation, f"its canary is stuck: {event.reason}", now))
            self._actions += self.table.ask(proc, Urgency.GRACEFUL, now)

    def _gone(self, proc: Proc, event: SpawnFailed | Exited, now: float) -> None:
        if isinstance(event, SpawnFailed) and event.short and proc.asked is None:
            self._actions += self.table.postpone(proc, event.reason, now)
            return
        was_ready = proc.state is ProcessState.READY
        on_trial = self._is_canary(proc)
        if not proc.moves(type(event)):
            return
        death = self.table.bury(proc, event, now)
        if death is None:
            return
        failed = on_trial or (death.gave_up and self.generations.is_reload_to(proc.generation))
        wait = inf if failed else death.wait
        if not death.expected:
            stalls = self.generations.stalls(self.numprocesses)
            self._actions.append(death.told(proc, was_ready=was_ready, wait=wait, stalls=stalls))
        if failed:
            self.table.slots.drop(proc.wid)
            self._tried(self._trial.fail(proc.generation, f"process {proc.wid} {death.how}", now))
            return
        self.table.slots.holds[proc.wid] = now + wait
        if death.gave_up:
            self.table.slots.gave_up = f"process {proc.wid} used up its retries; at last it {death.how}"
            for other in self.table.processes.values():
                other.retiring = None  # it is better than none, and its successor may have been this one

    def _tried(self, actions: list[Action]) -> None:
        self._actions += actions
        if not self.generations and self.status in RUNNING:
            self.status = Status.STOPPING

    # ---- what is wanted against what is

    def converge(self, now: float) -> list[Action]:
        """Compare what is wanted with what is, every process of it; return what to do, in this order."""
        self._actions = []
        for number in self.generations.too_late(now) if self.status in RUNNING else ():
            self._tried(self._trial.hear_late(number, self.spec.boot_timeout, now))
        for proc in self.table.overdue(now):
            if self._is_canary(proc):
                why = f"not ready after {self.spec.boot_timeout:g} seconds"
                self._tried(self._trial.fail(proc.generation, why, now))
            self._actions += self.table.kill(proc, why_overdue(proc, self.spec.boot_timeout))
        if self.status in RUNNING:
            self.table.advance(now)
            if self.refork.is_wanted:
                self.refork.choose(self.numprocesses)
            if len(self.generations) > 1:
                self._actions += self._trial.go_on(self.numprocesses, self.spec.deploy.steps)
            self._adjust(now)
            self._tell()
        if self.status is Status.STOPPING:
            for proc in self.table.processes.values():
                self._actions += self.table.ask(proc, self._urgency, now)
            if not self.table.processes:
                self._actions += [*self.generations.discard_all(), Stopped()]
                self.status = Status.STOPPED
        if not self._again or self.status is not Status.STOPPED:
            return self._actions
        self._again = False
        self._start()
        return self._actions + self.converge(now)

    def _adjust(self, now: float) -> None:
        """Ask those to leave that are too many, or replaced; then start what is missing."""
        facts = self.table, self.generations, self.numprocesses, self.spec
        before = Roster(*facts)
        leaving, idle = before.leaving(), before.idle_slots()
        for wid in idle:
            self.table.slots.drop(wid)
        for proc in leaving:
            actions = self.table.ask(proc, Urgency.GRACEFUL, now)
            self._actions += self.refork.instead(proc, actions) if proc.retiring else actions
        self._actions += self.generations.due(now, self.spec.boot_timeout, len(self.table.processes))
        after = Roster(*facts) if leaving or idle else before
        if after.usable:
            self._actions += self.table.spawn_missing(after.source.number, after.room(), now)
        if after.canary_wanted:
            self._actions.append(self.table.spawn(after.canary_wanted, now, held=after.holds))
        self._actions += self.table.shortage.end() if after.complete else []

    def _tell(self) -> None:
        """Say what was reached."""
        wanted = self.generations[-1]
        over = self.table.slots.over
        trial = self.generations.trial(self.numprocesses)
        if trial is None and 0 < self.numprocesses == over:
            reason = self.table.slots.gave_up
            self._actions.append(GaveUp(reason) if reason else Finished())
            self.status = Status.STOPPING
            return
        if self.status is Status.ACTIVE and len(self.generations) == 1 and not wanted.by_reload:
            return  # that was said before
        staying = self.table.staying()
        usable = self.generations.source(self.numprocesses).usable_since is not None
        ready = [proc for proc in staying if proc.serves]
        if self.status is Status.STARTING and usable and len(ready) + over >= self.numprocesses:
            self._actions.append(Started())
            self.status = Status.ACTIVE
        if self.generations.tested(self.numprocesses) is not None or not usable:
            return
        # Who retires has a successor beside those that are wanted, and there may always be one.
        if len(ready) + over >= self.numprocesses and all(p.generation == wanted.number for p in staying):
            self._actions += self.generations.replaced(self.spec.deploy.keep_generations)
            if wanted.by_reload:
                wanted.by_reload = False
                self._actions.append(Reloaded(wanted.number))
