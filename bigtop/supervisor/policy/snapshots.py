# Snapshots of watchers' machines: all that one knows, as records, and a machine that goes on from there.
#
# Rules: pure. Times are of a clock that goes on over an exec, so they stay what they are. A machine can be
# written down at any moment but during a reload and while it stops: what is under way then is a conversation
# with processes, which is brought to its end first.

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bigtop.record import Record
from bigtop.supervisor.policy.backoff import WindowState
from bigtop.supervisor.policy.deploys.generations import Generation
from bigtop.supervisor.policy.messages import Ending, Urgency
from bigtop.supervisor.policy.processtable import Proc, ProcessState
from bigtop.supervisor.policy.spec import WatcherSpec, Worker
from bigtop.supervisor.policy.watcher import Status, Watcher


class GenerationState(Record):
    """One generation that is not on trial."""

    number: int
    by_reload: bool
    proven: bool
    prepare_at: float
    late_at: float
    usable_since: float | None
    window: WindowState
    reforked: int = 0
    may_refork: bool = True
    lost: bool = False


class MachineState(Record):
    """All that the machine of one watcher knows. `spec` is None where the target is a Worker: what that is
    told is made anew."""

    name: str
    spec: WatcherSpec | None
    status: Status
    numprocesses: int
    generations: tuple[GenerationState, ...]
    aside: tuple[GenerationState, ...]
    newest: int  # generation there ever was
    processes: tuple[Proc, ...]
    holds: Mapping[int, float]
    gave_up: str
    windows: Mapping[int, WindowState]
    short_until: float
    shortage: str
    warm_at: float
    wanting: bool


# What may stand in a MachineState beside what a WatcherSpec holds.
CLASSES = (MachineState, GenerationState, WindowState, Proc, ProcessState, Status, Urgency, Ending)


def obstacle(machine: Watcher) -> str:
    """Return why the machine cannot be written down now, "" if it can."""
    if machine.status is Status.STOPPING:
        return "it stops"
    if len(machine.generations) > 1:
        is_recovery = machine.generations[-1].recovers
        return "code is tried after its fork server died" if is_recovery else "a reload is under way"
    return ""


def held(machine: Watcher) -> MachineState:
    """Return all that it knows; obstacle() has said that it can be written down."""
    table, spec = machine.table, machine.spec
    return MachineState(
        name=spec.name,
        spec=None if isinstance(spec.target, Worker) else spec,
        status=machine.status,
        numprocesses=machine.numprocesses,
        generations=_states(machine.generations),
        aside=_states(machine.generations.aside),
        newest=machine.generations.newest,
        processes=tuple(table.processes.values()),
        holds=dict(table.slots.holds),
        gave_up=table.slots.gave_up,
        windows={wid: window.held() for wid, window in table.slots.windows.items()},
        short_until=table.shortage.until,
        shortage=table.shortage.reason,
        warm_at=table.warm_at,
        wanting=table.wanting,
    )


def resume(machine: Watcher, state: MachineState) -> None:
    """Have a machine that has done nothing yet go on from `state`, as what it is described as now."""
    table, generations = machine.table, machine.generations
    machine.status, machine.numprocesses = state.status, state.numprocesses
    generations += map(_generation, state.generations)
    generations.aside += map(_generation, state.aside)
    generations.newest = state.newest
    table.processes.update((proc.key, proc) for proc in state.processes)
    machine.refork.is_wanted = any(proc.warm for proc in state.processes)
    table.slots.holds.update(state.holds)
    table.slots.gave_up = state.gave_up
    for wid, window in state.windows.items():
        table.slots.window(wid).resume(window)
    table.shortage.until, table.shortage.reason = state.short_until, state.shortage
    table.warm_at, table.wanting = state.warm_at, state.wanting


def _states(generations: Iterable[Generation]) -> tuple[GenerationState, ...]:
    return tuple(
        GenerationState(
            one.number,
            one.by_reload,
            one.proven,
            one.prepare_at,
            one.late_at,
            one.usable_since,
            one.window.held(),
            one.reforked,
            one.may_refork,
            one.lost,
        )
        for one in generations
    )


def _generation(state: GenerationState) -> Generation:
    made = Generation(state.number, by_reload=state.by_reload)
    made.proven, made.usable_since = state.proven, state.usable_since
    made.prepare_at, made.late_at = state.prepare_at, state.late_at
    made.window.resume(state.window)
    made.reforked, made.may_refork, made.lost = state.reforked, state.may_refork, state.lost
    return made
