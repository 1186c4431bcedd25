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

from bigtop.config.file.daemon_spec import DaemonSpec
from bigtop.control import addresses
from bigtop.control.server import binding
from bigtop.control.server.endpoint_security import EndpointSecurity
from bigtop.ipc.scoreboard import LISTENERS
from bigtop.launch import file_preflight
from bigtop.launch.app import App
from bigtop.launch.news import News
from bigtop.log import logger as get_logger
from bigtop.sockets import ListeningSocket
from bigtop.stats import roster
from bigtop.stats.orders import Orders
from bigtop.stats.pace import NAME, Pace
from bigtop.stats.roster import Group, Listener, Process, Roster
from bigtop.supervisor.policy.helper import Helper
from bigtop.supervisor.policy.spec import WatcherSpec
from bigtop.supervisor.supervisor import Supervisor

logger = get_logger("bigtop.supervisor")

# Names that no [socket:NAME] can have.
_ENDPOINT, _FEED = f"{NAME} endpoint", f"{NAME} feed"
_LONGEST = 256  # bytes of a question
_RENEWED = 10.0  # seconds after which who runs is told anew: not all of it is told to us as news


def of_file(spec: DaemonSpec, channel: str | None, running: Running) -> Statistics:
    """Return that of a file which asks for it; `channel` is the endpoint for commands, if there is one."""
    endpoint = spec.stats_endpoint
    if endpoint is None:
        beside = channel if channel and channel.startswith("ipc://") else None
        endpoint = addresses.stats_beside(beside or addresses.of(PurePath(spec.path).stem)[0])
    statistics = Statistics(endpoint, file_preflight.security(spec), running)
    logger.info("figures on %s", statistics.endpoint)
    return statistics


class Running(Protocol):
    """What there is to tell of."""

    supervisor: Supervisor
    news: News
    apps: dict[str, App]

    def named_sockets(self) -> list[tuple[str, ListeningSocket]]: ...


class Statistics:
    """From construction, which binds `endpoint`, to close(). Raises ConfigError and BindError. Event loop
    only."""

    def __init__(self, endpoint: str, security: EndpointSecurity, running: Running) -> None:
        self._security = security
        self._running = running
        self._listener, self.endpoint = binding.bind_one(endpoint, security)
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._rest = b""
        self._told = (-1, 0.0)  # how much news there was at the last state, and when that was
        self._version = 0
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._ours, self._asked)

    def watcher(self, pace: Pace) -> WatcherSpec:
        """Return the description of the helper watcher."""
        orders = Orders(self._listener.fileno(), self._theirs.fileno(), pace, self._security.curve)
        return Helper(
            name=NAME,
            module="bigtop.stats.program",
            arguments=(orders.encode(),),
            sockets=(_ENDPOINT, _FEED),
        ).watcher(os.environ)

    def sockets_for(self, spec: WatcherSpec) -> Mapping[str, int]:
        """Return the descriptors that are for the stats process alone, by name."""
        if _FEED not in spec.sockets:
            return {}
        return {_ENDPOINT: self._listener.fileno(), _FEED: self._theirs.fileno()}

    def close(self) -> None:
        self._loop.remove_reader(self._ours)
        self._loop.remove_writer(self._ours)
        binding.release(self.endpoint)
        for end in (self._listener, self._ours, self._theirs):
            end.close()

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
        heard, now = self._running.news.heard, self._loop.time()
        if heard != self._told[0] or now - self._told[1] > _RENEWED:
            self._told = heard, now
            self._version += 1
        return None if known == self._version else self._roster()

    def _roster(self) -> Roster:
        running = self._running
        own = [(os.getpid(), "circusd")]
        groups = []
        for name in running.supervisor.watchers.names:
            machine = running.supervisor.watchers.machine(name)
            app = running.apps.get(name)
            if machine.spec.hidden:
                own += [(proc.pid, name) for proc in machine.processes.values() if proc.pid]
                continue
            processes = [Process(proc.pid, proc.wid) for proc in machine.processes.values() if proc.pid]
            groups.append(Group(name, tuple(processes)))
        for name, app in running.apps.items():
            own += [(pid, f"fork server of {name}") for pid in sorted(app.pool.servers.pids)]
        return Roster(self._version, tuple(own), tuple(groups), tuple(self._listeners()))

    def _listeners(self) -> Iterator[Listener]:
        served: dict[int, list[tuple[str, int]]] = {}
        sockets = {listener.fileno(): listener for _name, listener in self._running.named_sockets()}
        for name, app in self._running.apps.items():
            for number, listener in enumerate(app.listeners):
                sockets.setdefault(listener.fileno(), listener)
                if number < LISTENERS - 1 or len(app.listeners) <= LISTENERS:  # it is counted by itself
                    served.setdefault(listener.fileno(), []).append((name, number))
        for fd, listener in sorted(sockets.items()):
            if fd >= 0:
                inode = os.fstat(fd).st_ino
                yield Listener(fd, inode, _address(listener), tuple(served.get(fd, ())))


def _address(listener: ListeningSocket) -> str:
    """Return it as circusd-stats writes it."""
    spec = listener.spec
    return spec.path if spec.path is not None else f"{spec.host}:{spec.port}"
