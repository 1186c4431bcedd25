# Overview of all that runs, for those who ask: the stats process, and clients of the control channel.
#
# Rule: told is what is known already. Nothing is read of any process, so who asks often costs little.

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from typing import Protocol

import bigtop
from bigtop.ipc.scoreboard import LISTENERS
from bigtop.launch.app import App
from bigtop.launch.control.last_notices import LastNotices
from bigtop.launch.stopping import Stopping
from bigtop.sockets import ListeningSocket
from bigtop.stats.roster import Group, Listener, Process, Roster, Standing
from bigtop.supervisor.policy.processtable import Proc, ProcessState
from bigtop.supervisor.policy.watcher import Status
from bigtop.supervisor.supervisor import Supervisor


class Running(Protocol):
    """What there is to tell of."""

    supervisor: Supervisor
    notices: LastNotices
    apps: dict[str, App]
    stopping: Stopping

    def named_sockets(self) -> list[tuple[str, ListeningSocket]]: ...

    def dropped(self) -> Mapping[str, int]:
        """Return how many lines of output there was no room for, by watcher."""
        ...


class Overview:
    """Of what is `running`. Event loop only."""

    def __init__(self, running: Running) -> None:
        self._running = running

    def standings(self) -> dict[str, Standing]:
        return {name: self.standing(name) for name in self._running.supervisor.watchers.names}

    def standing(self, name: str) -> Standing:
        supervisor, app = self._running.supervisor, self._running.apps.get(name)
        machine = supervisor.watchers.machine(name)
        is_going = self._running.stopping.is_asked_for or name in supervisor.scheduler.going
        return Standing(
            app is not None,
            "stopping" if is_going and machine.status is not Status.STOPPED else machine.status.name.lower(),
            machine.numprocesses,
            sum(process.state is ProcessState.READY for process in machine.processes.values()),
            supervisor.tally.of(name).has_started,
            "" if app is None else app.metrics_path,
            1 if app is None else app.spec.options.threads,
        )

    def roster(self, version: int, standings: Mapping[str, Standing]) -> Roster:
        running = self._running
        groups, dropped = [], running.dropped()
        for name, standing in standings.items():
            machine = running.supervisor.watchers.machine(name)
            if not machine.spec.hidden:
                processes = [Process(proc.pid, proc.wid) for proc in machine.processes.values() if proc.pid]
                tally = running.supervisor.tally.of(name)
                groups.append(Group(name, tuple(processes), standing, tally, dropped.get(name, 0)))
        return Roster(version, tuple(self._own()), tuple(groups), tuple(self._listeners()))

    def told(self, figures_at: str | None) -> dict[str, object]:
        """Return all of it in the words of the control channel; `figures_at` is where a stats process
        publishes, if one does."""
        now = asyncio.get_running_loop().time()
        return {
            "pid": os.getpid(),
            "version": bigtop.__version__,
            "stats_endpoint": figures_at,
            "watchers": [self._watcher(name, one, now) for name, one in self.standings().items()],
            "own": [{"pid": pid, "name": name} for pid, name in self._own()],
            "sockets": [
                {
                    "fd": one.fd,
                    "inode": one.inode,
                    "address": one.address,
                    "served": [list(pair) for pair in one.served],
                }
                for one in self._listeners()
            ],
        }

    def _watcher(self, name: str, standing: Standing, now: float) -> dict[str, object]:
        running = self._running
        machine, tally = running.supervisor.watchers.machine(name), running.supervisor.tally.of(name)
        app = running.apps.get(name)
        return {
            "name": name,
            "kind": "app" if app is not None else "helper" if machine.spec.hidden else "command",
            "status": standing.status,
            "wanted": standing.wanted,
            "ready": standing.ready,
            "threads": None if app is None else app.spec.options.threads,
            "generation": machine.generation,
            "starts": tally.starts,
            "exits": {ending.value: count for ending, count in tally.exits.items()},
            "reloads": tally.reloads,
            "failed_reloads": tally.failed_reloads,
            "dropped": running.dropped().get(name, 0),
            "processes": [_process(proc, now) for proc in machine.processes.values()],
        }

    def _own(self) -> Iterator[tuple[int, str]]:
        """Yield processes of Bigtop itself."""
        yield os.getpid(), "circusd"
        for name, machine in self._running.supervisor.watchers.machines().items():
            if machine.spec.hidden:
                yield from ((proc.pid, name) for proc in machine.processes.values() if proc.pid)
        for name, app in self._running.apps.items():
            yield from ((pid, f"fork server of {name}") for pid in sorted(app.pool.servers.pids))

    def _listeners(self) -> Iterator[Listener]:
        served: dict[int, list[tuple[str, int]]] = {}
        found = {listener.fileno(): listener for _name, listener in self._running.named_sockets()}
        for name, app in self._running.apps.items():
            for number, listener in enumerate(app.listeners):
                found.setdefault(listener.fileno(), listener)
                if number < LISTENERS - 1 or len(app.listeners) <= LISTENERS:  # it is counted by itself
                    served.setdefault(listener.fileno(), []).append((name, number))
        for fd, listener in sorted(found.items()):
            if fd >= 0:
                inode = os.fstat(fd).st_ino
                yield Listener(fd, inode, _address(listener), tuple(served.get(fd, ())))


def _process(proc: Proc, now: float) -> dict[str, object]:
    return {
        "pid": proc.pid,
        "wid": proc.wid,
        "state": proc.state.value,
        "generation": proc.generation,
        "age": round(max(0.0, now - proc.spawned_at), 2),
    }


def _address(listener: ListeningSocket) -> str:
    """Return it as circusd-stats writes it."""
    spec = listener.spec
    return spec.path if spec.path is not None else f"{spec.host}:{spec.port}"
