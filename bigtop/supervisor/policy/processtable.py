# The process table of one watcher: its processes, and the places of those that died.
#
# Rule 1: a process moves by TRANSITIONS and in no other way. What is not in there does not happen: such an
# event is ignored, such an action is not taken.
# Rule 2: watcher.py says who comes and who leaves. This file knows how: under which number, with which
# deadline, and that nobody is asked the same thing twice. What a death means is decided here, in bury(): when
# a successor comes, or that none does.
#
# A spawn waits until `warmup_delay` has passed since the one before it: for the first time, for a successor,
# for one more. The age at which a process is replaced is drawn once, at its birth.
#
# A process for which there was no room leaves the table as if it had not been asked for, and for
# SHORT_SECONDS no other is.
#
# DRAINING is for processes that were asked to leave. KILLED is entered past a deadline; a process that does
# not die even then is waited for.

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from itertools import count, islice
from math import inf
from typing import TYPE_CHECKING

from bigtop.record import Record
from bigtop.supervisor.policy.backoff import RestartWindow
from bigtop.supervisor.policy.messages import (
    Action,
    Admit,
    Died,
    Drain,
    Ending,
    Event,
    Exited,
    ExitStatus,
    Kill,
    Ready,
    Short,
    Spawn,
    SpawnFailed,
    Urgency,
)
from bigtop.supervisor.policy.spec import Respawn, RestartPolicy, WatcherSpec, Worker

if TYPE_CHECKING:
    from random import Random

# A shell's word for a command that it cannot run; the status of a process that never was.
NOT_SPAWNED = ExitStatus(code=127)

# Time to leave for a process that is asked to be quick.
QUICK_SECONDS = 1.0

# Until it is tried again where there was no room for a process.
SHORT_SECONDS = 1.0


class ProcessState(Enum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    KILLED = "killed"
    GONE = "gone"


TRANSITIONS: Mapping[ProcessState, Mapping[type[Event | Action], ProcessState]] = {
    ProcessState.STARTING: {
        Ready: ProcessState.READY,
        Drain: ProcessState.DRAINING,
        Kill: ProcessState.KILLED,
        Exited: ProcessState.GONE,
        SpawnFailed: ProcessState.GONE,
    },
    ProcessState.READY: {Drain: ProcessState.DRAINING, Kill: ProcessState.KILLED, Exited: ProcessState.GONE},
    ProcessState.DRAINING: {
        Drain: ProcessState.DRAINING,  # once more, with less time
        Kill: ProcessState.KILLED,
        Exited: ProcessState.GONE,
        SpawnFailed: ProcessState.GONE,
    },
    ProcessState.KILLED: {Exited: ProcessState.GONE, SpawnFailed: ProcessState.GONE},
    ProcessState.GONE: {},
}


class Proc(Record, frozen=False, eq=False):
    """One process from its Spawn to its end."""

    key: int
    wid: int
    generation: int
    spawned_at: float
    deadline: float  # to be ready or to be gone; past it the process is killed
    expires_at: float = inf  # replaced after that
    state: ProcessState = ProcessState.STARTING
    pid: int | None = None
    asked: Urgency | None = None  # to leave; its exit is no death then
    limit: float = 0.0  # seconds that it was given to end, if its deadline is about that
    retiring: Ending | None = None  # why, once it is to be replaced for reasons of its own
    killed: str = ""  # why
    held: bool = False  # it has no clients yet
    doubted: bool = False  # its generation was given up before it was proven
    warm: bool = False  # it has answered as many requests as one that becomes a fork server

    @property
    def serves(self) -> bool:
        return self.state is ProcessState.READY and not self.held

    def moves(self, by: type[Event | Action]) -> bool:
        """Take the transition for `by`, or say that there is none."""
        after = TRANSITIONS[self.state].get(by)
        if after is None:
            return False
        self.state = after
        return True


class Slots:
    """The places of processes that died, and the windows of all that ever did."""

    def __init__(self, policy: RestartPolicy) -> None:
        self.holds: dict[int, float] = {}  # by wid: not used again before
        self.gave_up = ""  # why the last one did
        self._policy = policy
        self.windows: dict[int, RestartWindow] = {}

    @property
    def over(self) -> int:
        return sum(hold == inf for hold in self.holds.values())

    def window(self, wid: int) -> RestartWindow:
        return self.windows.setdefault(wid, RestartWindow(self._policy))

    def drop(self, wid: int) -> None:
        self.holds.pop(wid, None)
        self.windows.pop(wid, None)

    def clear(self) -> None:
        self.holds.clear()
        self.windows.clear()
        self.gave_up = ""


class Shortage:
    """Why processes wait until there is room for them, told once, and until when nobody is asked for."""

    def __init__(self) -> None:
        self.until = -inf
        self.reason = ""

    def begin(self, reason: str, now: float) -> list[Action]:
        before, self.reason = self.reason, self.reason or reason
        self.until = now + SHORT_SECONDS
        return [] if before else [Short(reason)]

    def end(self) -> list[Action]:
        before, self.reason = self.reason, ""
        return [Short()] if before else []


class Death(Record):
    """The end of a process that was not asked to leave, judged by the restart policy."""

    status: ExitStatus
    reason: str  # why there was no process at all
    how: str
    expected: bool
    deaths: int
    wait: float  # inf: no successor
    lived: float
    gave_up: bool  # there would have been one, but its slot used up its retries

    def told(self, proc: Proc, *, was_ready: bool, wait: float, stalls: bool) -> Died:
        """Return the notice of it, with a successor after `wait` seconds, inf for never."""
        who = (proc.key, proc.wid, self.status, was_ready, self.deaths)
        return Died(*who, None if wait == inf else wait, self.reason, proc.killed, self.lived, stalls)


class ProcessTable:
    """All processes of one watcher, by key, oldest first, until they are gone."""

    def __init__(self, spec: WatcherSpec, keys: Iterator[int], random: Random | None) -> None:
        self.processes: dict[int, Proc] = {}
        self.slots = Slots(spec.restart)
        self._spec = spec
        self._keys = keys
        self._random = random
        self.shortage = Shortage()
        self.warm_at = -inf  # no spawn before
        self.wanting = False  # a spawn waits for these

    def describe(self, spec: WatcherSpec) -> None:
        """Take `spec` for what comes; processes may become older than before, or less old."""
        if spec.restart != self._spec.restart:
            self.slots = Slots(spec.restart)
        before, self._spec = self._spec.lifetime, spec
        ages = [(life.max_age, life.max_age_variance) for life in (before, spec.lifetime)]
        if ages[0] != ages[1]:
            for proc in self.processes.values():
                self._draw_age(proc)

    def _draw_age(self, proc: Proc) -> None:
        proc.expires_at, life = inf, self._spec.lifetime
        if life.max_age and not proc.retiring:
            if self._random is None:
                from random import Random  # few watchers know an age

                self._random = Random()  # noqa: S311 - spreads ages
            more = self._random.uniform(0, life.max_age_variance)
            proc.expires_at = proc.spawned_at + life.max_age + more

    def settled(self, count: int) -> bool:
        """Whether there are `count`, ready or waited for after a death; beside them only those that retire,
        of which there may always be some, and no more successors than those."""
        stable = len(self.slots.holds)
        ready = starting = retiring = 0
        for proc in self.processes.values():
            if proc.state is ProcessState.READY:
                ready += 1
            elif proc.state is ProcessState.STARTING:
                starting += 1
            elif not proc.retiring:
                return False
            if proc.retiring:
                retiring += 1
            else:
                stable += 1
        return starting <= retiring and stable <= count <= ready + len(self.slots.holds)

    def staying(self) -> list[Proc]:
        """Those that were not asked to leave."""
        return [proc for proc in self.processes.values() if proc.asked is None]

    def doubt(self, generation: int) -> None:
        """Take in that `generation` is given up before it has shown that it works."""
        for proc in self.processes.values():
            proc.doubted = proc.doubted or proc.generation == generation

    def admit(self, held: int) -> list[Action]:
        """Let clients come to all that are ready, but to those of the generation `held`."""
        actions: list[Action] = []
        for proc in self.staying():
            if (
                proc.held
                and proc.state is ProcessState.READY
                and proc.generation != held
                and not proc.doubted
            ):
                proc.held = False
                actions.append(Admit(proc.key))
        return actions

    def overdue(self, now: float) -> list[Proc]:
        return [proc for proc in self.processes.values() if proc.deadline <= now]

    def advance(self, now: float) -> None:
        """Take in that time has passed."""
        if self.shortage.until <= now:
            self.shortage.until = -inf
        for proc in self.processes.values() if self._spec.lifetime.max_age else ():
            if proc.state is ProcessState.READY and proc.expires_at <= now:
                proc.retiring, proc.expires_at = Ending.MAX_AGE, inf

    def next_spawn(self) -> float:
        """When a spawn that waits is due."""
        earliest = max(self.warm_at, self.shortage.until)
        waits = [earliest] if self.wanting else []
        return min([*waits, *(max(hold, earliest) for hold in self.slots.holds.values())], default=inf)

    def postpone(self, proc: Proc, reason: str, now: float) -> list[Action]:
        """Take a process out for which there was no room."""
        proc.moves(SpawnFailed)
        del self.processes[proc.key]
        return self.shortage.begin(reason, now)

    def next_expiry(self) -> float:
        """Return when the next process is too old, or there may be room again."""
        times = [self.shortage.until] if self.shortage.until > -inf else []
        if self._spec.lifetime.max_age:
            times += [proc.expires_at for proc in self.processes.values() if proc.state is ProcessState.READY]
        return min(times, default=inf)

    def spawn_missing(self, generation: int, room: int, now: float) -> list[Action]:
        """The successors of the dead whose wait is over, then `room` more; later what is too early now."""
        due = sorted(wid for wid, hold in self.slots.holds.items() if hold <= now)
        actions: list[Action] = []
        self.wanting = False
        for wid in [*due, *(islice(self._free_places(), room) if room else ())]:
            if now < max(self.warm_at, self.shortage.until):
                self.wanting = True
                break
            self.slots.holds.pop(wid, None)
            actions.append(self.spawn(generation, now, wid))
        return actions

    def spawn(self, generation: int, now: float, wid: int | None = None, *, held: bool = False) -> Spawn:
        """A process as `wid`, or in a new place, under the lowest number that is free."""
        if wid is None:
            wid = next(self._free_places())
        key = next(self._keys)
        lifetime = self._spec.lifetime
        proc = Proc(key, wid, generation, now, now + (self._spec.boot_timeout or inf), held=held)
        self._draw_age(proc)
        self.processes[key] = proc
        if lifetime.warmup_delay:
            self.warm_at = now + lifetime.warmup_delay
        return Spawn(key, wid, generation, held)

    def _free_places(self) -> Iterator[int]:
        """Yield the numbers that nobody has now, the lowest first."""
        taken = {proc.wid for proc in self.processes.values()} | self.slots.holds.keys()
        return (wid for wid in count(1) if wid not in taken)

    def ask(
        self,
        proc: Proc,
        urgency: Urgency,
        now: float,
        grace: float | None = None,
        signum: int | None = None,
    ) -> list[Action]:
        """Ask to leave, unless that was done as urgently before."""
        if proc.asked is not None and proc.asked.value >= urgency.value:
            return []
        proc.asked = urgency
        if urgency is Urgency.NOW:
            return self.kill(proc, "it is to be gone at once")
        # A worker that was never ready has nothing to finish, and may hang; of a command that is not known.
        idle = proc.state is ProcessState.STARTING and isinstance(self._spec.target, Worker)
        if not proc.moves(Drain):
            return []
        limit = QUICK_SECONDS
        if urgency is Urgency.GRACEFUL:
            grace = self._spec.stop.graceful_timeout if grace is None else grace
            limit = QUICK_SECONDS if idle else grace
        limit += self._spec.stop.margin
        if now + limit < proc.deadline:
            proc.deadline, proc.limit = now + limit, limit
        return [Drain(proc.key, grace or 0.0, signum)]

    def is_ready(self, proc: Proc, now: float) -> bool:
        """Take in that a process is ready; False if that comes too late to count."""
        if proc.moves(Ready):
            proc.deadline = inf
            return True
        worker = isinstance(self._spec.target, Worker)
        if worker and proc.state is ProcessState.DRAINING and proc.asked is Urgency.GRACEFUL:
            # It was asked to leave in the moment in which it began to answer: it may finish that.
            proc.limit = self._spec.stop.graceful_timeout + self._spec.stop.margin
            proc.deadline = now + proc.limit
        return False

    def kill(self, proc: Proc, reason: str) -> list[Action]:
        proc.deadline = inf
        if not proc.moves(Kill):
            return []
        proc.killed = reason
        return [Kill(proc.key, reason)]

    def bury(self, proc: Proc, event: SpawnFailed | Exited, now: float) -> Death | None:
        """Take a process that is gone out; None if it was asked to."""
        del self.processes[proc.key]
        if proc.asked is not None:
            self.slots.drop(proc.wid)
            return None
        if isinstance(event, Exited):
            how = f"was killed: {proc.killed}" if proc.killed else f"ended: {event.status}"
            status, reason = event.status, ""
        else:
            status, reason, how = NOT_SPAWNED, event.reason, f"could not be started: {event.reason}"
        policy = self._spec.restart
        scheduled = bool(self._spec.lifetime.schedule)
        expected = (
            policy.respawn is not Respawn.ALWAYS or scheduled
        ) and status.code in policy.expected_exits
        finished = policy.respawn is Respawn.NEVER or expected or scheduled
        window = self.slots.window(proc.wid)
        lived = now - proc.spawned_at
        wait = window.death(lived)
        gave_up = wait == inf and not finished
        return Death(status, reason, how, expected, window.deaths, inf if finished else wait, lived, gave_up)


def ending(proc: Proc, status: ExitStatus, generation: int) -> Ending:
    """Return why a process is gone, while `generation` is the wanted one."""
    if proc.asked is not None:
        return proc.retiring or (Ending.STOP if proc.generation == generation else Ending.RELOAD)
    if status.signal is not None:
        return Ending.OOM if status.out_of_memory else Ending.SIGNAL
    return Ending.ERROR if status.code else Ending.EXIT


def why_overdue(proc: Proc, boot_timeout: float) -> str:
    """Return why a process whose deadline has passed is killed."""
    if proc.limit:
        return f"still there {proc.limit:g} seconds after it was asked to end"
    return f"not ready after {boot_timeout:g} seconds"
