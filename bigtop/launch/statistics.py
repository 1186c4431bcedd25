# The stats process as its supervisor sees it: where clients come, a line by which it asks who runs, and the
# description of the helper watcher.
#
# Rules: it is told nothing that it does not ask for, and what it asks is answered from what is known, at
# once: if it reads slowly, or not at all, nobody else notices. Both sockets outlive each stats process.

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Protocol

from bigtop import sockets
from bigtop.config.file.daemon_spec import DaemonSpec
from bigtop.config.serve.admin import AdminSpec
from bigtop.control import addresses
from bigtop.control.server import binding
from bigtop.control.server.endpoint_security import EndpointSecurity
from bigtop.errors import BigtopError
from bigtop.ipc.scoreboard import LISTENERS
from bigtop.launch import file_preflight
from bigtop.launch.app import App
from bigtop.launch.last_notices import LastNotices
from bigtop.launch.stopping import Stopping
from bigtop.log import logger as get_logger
from bigtop.sockets import ListeningSocket
from bigtop.stats import roster
from bigtop.stats.admission import Admission
from bigtop.stats.orders import Admin, Orders
from bigtop.stats.pace import NAME, Pace
from bigtop.stats.roster import Group, Listener, Process, Roster, Standing
from bigtop.supervisor.policy.helper import Helper
from bigtop.supervisor.policy.processtable import ProcessState
from bigtop.supervisor.policy.spec import WatcherSpec
from bigtop.supervisor.policy.watcher import Status
from bigtop.supervisor.supervisor import Supervisor

logger = get_logger("bigtop.supervisor")

# Names that no [socket:NAME] can have.
_ENDPOINT, _FEED, _ADMIN = f"{NAME} endpoint", f"{NAME} feed", f"{NAME} admin"
_LONGEST = 256  # bytes of a question
_RENEWED = 10.0  # seconds after which who runs is told anew: not all of it is told to us as news


def of_file(spec: DaemonSpec, channel: str | None, running: Running) -> Statistics:
    """Return that of a file which asks for it; `channel` is the endpoint for commands, if there is one."""
    endpoint = None
    if spec.stats is not None:
        beside = channel if channel and channel.startswith("ipc://") else None
        endpoint = spec.stats_endpoint or addresses.stats_beside(
            beside or addresses.of(PurePath(spec.path).stem)[0]
        )
    return Statistics(endpoint, file_preflight.security(spec), running, spec.admin)


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


class Statistics:
    """From construction, which binds `endpoint` and the admin listener, where these are wanted, to close().
    Raises ConfigError and BindError. Event loop only."""

    def __init__(
        self,
        endpoint: str | None,
        security: EndpointSecurity,
        running: Running,
        admin: AdminSpec | None = None,
    ) -> None:
        self._security = security
        self._running = running
        self._admission = Admission()
        if admin is not None:
            self._admission = Admission(admin.allow, admin.token_file, admin.hosts)
        self._admin = [] if admin is None else sockets.bind_all([admin.bind])
        self._listener: socket.socket | None = None
        self.endpoint: str | None = None
        if endpoint is not None:
            try:
                self._listener, self.endpoint = binding.bind_one(endpoint, security)
            except BigtopError:
                self._close_admin()
                raise
            logger.info("figures on %s", self.endpoint)
        if self._admin:
            logger.info("admin listener on %s", ", ".join(one.address() for one in self._admin))
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._rest = b""
        # What was the last state: how much news there was, and how watchers stood; and when that was.
        self._told: tuple[int, dict[str, Standing], float] = (-1, {}, 0.0)
        self._version = 0
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._ours, self._asked)

    def watcher(self, pace: Pace) -> WatcherSpec:
        """Return the description of the helper watcher."""
        endpoint = None if self._listener is None else self._listener.fileno()
        admin = Admin(tuple(one.fileno() for one in self._admin), self._admission) if self._admin else None
        orders = Orders(endpoint, self._theirs.fileno(), pace, self._security.curve, admin)
        return Helper(
            name=NAME,
            module="bigtop.stats.program",
            arguments=(orders.encode(),),
            sockets=tuple(self._own),
        ).watcher(os.environ)

    def sockets_for(self, spec: WatcherSpec) -> Mapping[str, int]:
        """Return the descriptors that are for the stats process alone, by name."""
        if _FEED not in spec.sockets:
            return {}
        return self._own

    @property
    def _own(self) -> dict[str, int]:
        own = {_FEED: self._theirs.fileno()}
        if self._listener is not None:
            own[_ENDPOINT] = self._listener.fileno()
        own |= {f"{_ADMIN} {number}": one.fileno() for number, one in enumerate(self._admin)}
        return own

    def close(self) -> None:
        self._loop.remove_reader(self._ours)
        self._loop.remove_writer(self._ours)
        if self._listener is not None and self.endpoint is not None:
            binding.release(self.endpoint)
            self._listener.close()
        self._close_admin()
        for end in (self._ours, self._theirs):
            end.close()

    def _close_admin(self) -> None:
        for listener in self._admin:
            listener.close()

    # ---- who runs

    def _asked(self) -> None:
        try:
            said = self._ours.recv(_LONGEST)
        except BlockingIOError:
            return
        if self._rest:  # it does not read what it asks for
            return
        asked = roster.read_question(said.splitlines()[-1]) if said.strip() else None
        if asked is not None:
            word, known = asked
            self._rest = roster.answer(word, self._newer(known))
            self._write()

    def _write(self) -> None:
        try:
            sent = self._ours.send(self._rest, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            sent = 0
        self._rest = self._rest[sent:]
        if self._rest:
            self._loop.add_writer(self._ours, self._write)
        else:
            self._loop.remove_writer(self._ours)

    def _newer(self, known: int) -> Roster | None:
        """Return who runs, unless that is known."""
        heard, now = self._running.notices.heard, self._loop.time()
        standings = {name: self._standing(name) for name in self._running.supervisor.watchers.names}
        if (heard, standings) != self._told[:2] or now - self._told[2] > _RENEWED:
            self._told = heard, standings, now
            self._version += 1
        return None if known == self._version else self._roster(standings)

    def _roster(self, standings: Mapping[str, Standing]) -> Roster:
        running = self._running
        own = [(os.getpid(), "circusd")]
        groups, dropped = [], running.dropped()
        for name, standing in standings.items():
            machine = running.supervisor.watchers.machine(name)
            if machine.spec.hidden:
                own += [(proc.pid, name) for proc in machine.processes.values() if proc.pid]
                continue
            processes = [Process(proc.pid, proc.wid) for proc in machine.processes.values() if proc.pid]
            tally = running.supervisor.tally.of(name)
            groups.append(Group(name, tuple(processes), standing, tally, dropped.get(name, 0)))
        for name, app in running.apps.items():
            own += [(pid, f"fork server of {name}") for pid in sorted(app.pool.servers.pids)]
        return Roster(self._version, tuple(own), tuple(groups), tuple(self._listeners()))

    def _standing(self, name: str) -> Standing:
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
        )

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


def _address(listener: ListeningSocket) -> str:
    """Return it as circusd-stats writes it."""
    spec = listener.spec
    return spec.path if spec.path is not None else f"{spec.host}:{spec.port}"
