# The processes of one watcher, and the places of those that died.
#
# Rule 1: a process moves by TRANSITIONS and in no other way. What is not in the table does not happen: such
# an event is ignored, such an action is not taken.
# Rule 2: nothing is decided here. machine.py says who comes and who leaves; this file knows how: under which
# number, with which deadline, and that nobody is asked the same thing twice.
#
# DRAINING is for processes that were asked to leave. KILLED is entered past a deadline; a process that does
# not die even then is waited for.

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import count
from math import inf

from bigtop.supervisor.flapping import RestartWindow
from bigtop.supervisor.messages import Action, Drain, Event, Exited, Kill, Ready, Spawn, SpawnFailed, Urgency
from bigtop.supervisor.spec import RestartPolicy, WatcherSpec

# Time to leave for a process that is asked to be quick.
QUICK_SECONDS = 1.0


class State(Enum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    KILLED = "killed"
    GONE = "gone"


TRANSITIONS: Mapping[State, Mapping[type[Event | Action], State]] = {
    State.STARTING: {
        Ready: State.READY,
        Drain: State.DRAINING,
        Kill: State.KILLED,
        Exited: State.GONE,
        SpawnFailed: State.GONE,
    },
    State.READY: {Drain: State.DRAINING, Kill: State.KILLED, Exited: State.GONE},
    State.DRAINING: {
        Drain: State.DRAINING,  # once more, with less time
        Kill: State.KILLED,
        Exited: State.GONE,
        SpawnFailed: State.GONE,
    },
    State.KILLED: {Exited: State.GONE, SpawnFailed: State.GONE},
    State.GONE: {},
}


@dataclass(slots=True, eq=False)
class Proc:
    """One process from its Spawn to its end."""

    key: int
    wid: int
    generation: int
    spawned_at: float
    deadline: float  # to be ready or to be gone; past it the process is killed
    state: State = State.STARTING
    pid: int | None = None
    asked: Urgency | None = None  # to leave; its exit is no death then
    retiring: bool = False

    def moves(self, by: type[Event | Action]) -> bool:
        """Take the transition that the table has for `by`, or say that there is none."""
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
        self._windows: dict[int, RestartWindow] = {}

    @property
    def over(self) -> int:
        return sum(hold == inf for hold in self.holds.values())

    def window(self, wid: int) -> RestartWindow:
        return self._windows.setdefault(wid, RestartWindow(self._policy))

    def drop(self, wid: int) -> None:
        self.holds.pop(wid, None)
        self._windows.pop(wid, None)

    def clear(self) -> None:
        self.holds.clear()
        self._windows.clear()
        self.gave_up = ""


class Crew:
    """All processes of one watcher, by key, oldest first, until they are gone."""

    def __init__(self, spec: WatcherSpec, keys: Iterator[int]) -> None:
        self.processes: dict[int, Proc] = {}
        self.slots = Slots(spec.restart)
        self._boot_timeout = spec.boot_timeout or inf
        self._graceful_timeout = spec.stop.graceful_timeout
        self._keys = keys

    def staying(self) -> list[Proc]:
        """Those that were not asked to leave."""
        return [proc for proc in self.processes.values() if proc.asked is None]

    def overdue(self, now: float) -> list[Proc]:
        return [proc for proc in self.processes.values() if proc.deadline <= now]

    def spawn(self, generation: int, now: float) -> Spawn:
        """A process in a new place, under the lowest number that is free."""
        taken = {proc.wid for proc in self.processes.values()} | self.slots.holds.keys()
        return self._spawn(generation, next(wid for wid in count(1) if wid not in taken), now)

    def respawn(self, generation: int, now: float) -> list[Action]:
        """The successors of the dead whose wait is over."""
        due = sorted(wid for wid, hold in self.slots.holds.items() if hold <= now)
        for wid in due:
            del self.slots.holds[wid]
        return [self._spawn(generation, wid, now) for wid in due]

    def ask(self, proc: Proc, urgency: Urgency, now: float) -> list[Action]:
        """Ask to leave, unless that was done as urgently before."""
        if proc.asked is not None and proc.asked.value >= urgency.value:
            return []
        proc.asked = urgency
        if urgency is Urgency.NOW:
            return self.kill(proc)
        was_ready = proc.state is not State.STARTING  # else it has nothing to finish, and may hang
        if not proc.moves(Drain):
            return []
        grace = self._graceful_timeout if urgency is Urgency.GRACEFUL else 0.0
        limit = self._graceful_timeout if urgency is Urgency.GRACEFUL and was_ready else QUICK_SECONDS
        proc.deadline = min(proc.deadline, now + limit)
        return [Drain(proc.key, grace)]

    def ready_after_all(self, proc: Proc, now: float) -> None:
        """It was asked to leave in the moment in which it began to answer: it may finish that."""
        if proc.state is State.DRAINING and proc.asked is Urgency.GRACEFUL:
            proc.deadline = now + self._graceful_timeout

    def kill(self, proc: Proc) -> list[Action]:
        proc.deadline = inf
        return [Kill(proc.key)] if proc.moves(Kill) else []

    def _spawn(self, generation: int, wid: int, now: float) -> Spawn:
        key = next(self._keys)
        self.processes[key] = Proc(key, wid, generation, now, now + self._boot_timeout)
        return Spawn(key, wid, generation)
