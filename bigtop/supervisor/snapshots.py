# Snapshot of a supervisor: all watchers with their processes and counts, and one that goes on from there.
#
# Rules: a wish that is under way (a stop, a reload, a hook) is waited for and not written down; obstacle()
# says for what. Timers, clocks, what looks at files and sockets: those begin anew from what is described.

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from bigtop.record import Record, field
from bigtop.supervisor.policy import messages, snapshots
from bigtop.supervisor.policy.snapshots import MachineState
from bigtop.supervisor.policy.spec import WatcherSpec
from bigtop.supervisor.policy.tally import WatcherTally
from bigtop.supervisor.policy.watcher import RUNNING
from bigtop.supervisor.supervisor import Supervisor


class WatcherState(Record):
    """One watcher: its machine, and what its pool holds."""

    machine: MachineState
    pool: Record


class SupervisorState(Record):
    """All watchers, in their order. `waiting` wait for their turn to start, `armed` for what starts them."""

    watchers: tuple[WatcherState, ...]
    next_key: int
    waiting: tuple[str, ...]
    armed: tuple[str, ...]
    tallies: Mapping[str, WatcherTally]
    due: Mapping[str, float] = field(default_factory=dict)  # those with a schedule: seconds since the epoch


CLASSES = (SupervisorState, WatcherState, WatcherTally, *snapshots.CLASSES)


def obstacle(supervisor: Supervisor) -> str:
    """Return what is under way that has to come to its end first, "" if nothing is."""
    scheduler, watchers = supervisor.scheduler, supervisor.watchers
    for name, runtime in watchers.runtimes.items():
        if reason := snapshots.obstacle(runtime.machine):
            return f"{name}: {reason}"
        if runtime.asked or runtime.restarting or runtime.is_calling:
            return f"{name}: a hook is called"
    for name in (*scheduler.going, *supervisor.configuration.removing):
        return f"{name}: it is to stop"
    for one in watchers.abandoned:
        if one.pool.pids() or one.is_calling:
            return f"{one.machine.spec.name}: it was removed, and its processes run"
    return ""


def held(supervisor: Supervisor) -> SupervisorState | str:
    """Return all there is, or what has to come to its end first."""
    if reason := obstacle(supervisor):
        return reason
    states = []
    for name, runtime in supervisor.watchers.runtimes.items():
        pool = runtime.pool.held()
        if pool is None or supervisor.dispatcher.is_busy:
            return f"{name}: a process of it begins or ends"
        states.append(WatcherState(snapshots.held(runtime.machine), pool))
    scheduler, names = supervisor.scheduler, supervisor.watchers.names
    return SupervisorState(
        watchers=tuple(states),
        next_key=supervisor.dispatcher.next_key(),
        waiting=tuple(scheduler.coming),
        armed=tuple(name for name in names if scheduler.triggers.armed(name)),
        tallies={name: supervisor.tally.of(name) for name in names},
        due=scheduler.triggers.due(),
    )


def described(supervisor: Supervisor, state: SupervisorState) -> list[tuple[str, WatcherSpec | None]]:
    """Return the watchers to be entered, by their descriptions, None for those whose target is a Worker;
    before any is."""
    supervisor.dispatcher.begin_keys(state.next_key)
    return [(each.machine.name, each.machine.spec) for each in state.watchers]


def resume(supervisor: Supervisor, state: SupervisorState) -> None:
    """Go on with `state`; its watchers were entered, and are stopped. OSError: that cannot be."""
    for each in state.watchers:
        runtime = supervisor.watchers.runtime(each.machine.name)
        snapshots.resume(runtime.machine, each.machine)
        runtime.pool.resume(each.pool)
        tally = state.tallies.get(each.machine.name)
        if tally is not None:
            supervisor.tally.resume(each.machine.name, _counted(tally))
    scheduler = supervisor.scheduler
    for name in state.armed:
        machine = supervisor.watchers.machine(name)
        runs, due = machine.status in RUNNING, state.due.get(name)
        scheduler.triggers.resume(machine.spec, runs=runs, due=due)
    scheduler.coming.update(dict.fromkeys(state.waiting, False))


def go_on(supervisor: Supervisor, state: SupervisorState) -> None:
    """Look what has become of everything meanwhile; when there is no way back any more."""
    for each in state.watchers:
        supervisor.dispatcher.feed(each.machine.name, messages.Tick())
    supervisor.scheduler.triggers.weigh()
    supervisor.autoscaling.watch()
    supervisor.scheduler.advance()


def _counted(tally: WatcherTally) -> WatcherTally:
    exits: Mapping[Any, int] = tally.exits
    tally.exits = Counter(exits)
    return tally
