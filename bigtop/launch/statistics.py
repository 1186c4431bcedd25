# The stats process as its supervisor sees it: where clients come, a line by which it asks who runs, and the
# description of the helper watcher.
#
# Rules: it is told nothing that it does not ask for, and what it asks is answered from what is known, at
# once: if it reads slowly, or not at all, nobody else notices. Both sockets outlive each stats process.

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Protocol

from bigtop import sockets
from bigtop.config.file.daemon_spec import DaemonSpec
from bigtop.config.serve.specs.admin import AdminSpec
from bigtop.control import addresses
from bigtop.control.server import binding
from bigtop.control.server.endpoint_security import EndpointSecurity
from bigtop.errors import BigtopError
from bigtop.ipc.snapshot import Descriptor
from bigtop.launch import listener_states
from bigtop.launch.control.overview import Overview, Running
from bigtop.launch.listener_states import ListenerState
from bigtop.launch.run import file_preflight
from bigtop.log import logger as get_logger
from bigtop.record import Record, field
from bigtop.stats import roster
from bigtop.stats.admin.admission import Admission
from bigtop.stats.orders import Admin, Orders
from bigtop.stats.pace import NAME, Pace
from bigtop.stats.roster import Roster, Standing
from bigtop.supervisor.policy.helper import Helper
from bigtop.supervisor.policy.spec import WatcherSpec

logger = get_logger("bigtop.supervisor")

# Names that no [socket:NAME] can have.
_ENDPOINT, _FEED, _ADMIN = f"{NAME} endpoint", f"{NAME} feed", f"{NAME} admin"
_LONGEST = 256  # bytes of a question
_RENEWED = 10.0  # seconds after which who runs is told anew: not all of it is told to us as news


class Resumed(Protocol):
    """What another version held."""

    @property
    def statistics(self) -> Any:
        """A StatisticsState, None where there were none."""


def of_file(
    spec: DaemonSpec, channel: str | None, running: Running, resumed: Resumed | None
) -> Statistics | None:
    """Return that of a file which asks for it; `channel` is the endpoint for commands, if there is one. Who
    goes on for another version has what that had."""
    before: Any = None if resumed is None else resumed.statistics
    asked = {
        "statsd": "" if spec.stats is None else "on",
        "stats_endpoint": spec.stats_endpoint or "",
        "[admin]": described(spec.admin),
    }
    if resumed is not None:
        tell_stays(asked, before)
        if before is None:
            return None
    endpoint = None
    if spec.stats is not None:
        beside = channel if channel and channel.startswith("ipc://") else None
        endpoint = spec.stats_endpoint or addresses.stats_beside(
            beside or addresses.of(PurePath(spec.path).stem)[0]
        )
    return Statistics(endpoint, file_preflight.security(spec), running, spec.admin, before, asked)


def described(admin: AdminSpec | None) -> str:
    """Return all that an admin listener was asked to be, in words that differ when that does."""
    if admin is None:
        return ""
    bind = admin.bind
    return repr((bind.host, bind.port, bind.path, admin.token_file, admin.allow, admin.hosts))


def tell_stays(asked: Mapping[str, str], before: StatisticsState | None) -> None:
    """Tell what is asked for otherwise than it was at the start, by setting."""
    old: Mapping[str, str] = {} if before is None else before.asked
    if before is not None and not old:  # it did not write that down
        return
    if changed := [setting for setting, value in asked.items() if old.get(setting, "") != value]:
        logger.warning("%s: what changed there takes a restart of Bigtop", ", ".join(changed))


class StatisticsState(Record):
    """What outlives each stats process, for a supervisor that goes on with it."""

    listener: Descriptor | None
    endpoint: str | None
    admin: tuple[ListenerState, ...]
    ours: Descriptor
    theirs: Descriptor
    version: int
    admission: Admission | None = None  # to the admin listener
    asked: Mapping[str, str] = field(default_factory=dict)  # at the start, by setting


class Statistics:
    """From construction, which binds `endpoint` and the admin listener, where these are wanted, to close().
    Raises ConfigError and BindError. Event loop only."""

    def __init__(
        self,
        endpoint: str | None,
        security: EndpointSecurity,
        running: Running,
        admin: AdminSpec | None = None,
        before: StatisticsState | None = None,
        asked: Mapping[str, str] | None = None,
    ) -> None:
        self._asked_at_start = (before.asked if before is not None else None) or asked or {}
        self._security = security
        self._running = running
        self._overview = Overview(running)
        self._admission = Admission()
        if admin is not None:
            self._admission = Admission(admin.allow, admin.token_file, admin.hosts)
        self._listener: socket.socket | None = None
        self.endpoint: str | None = None
        if before is not None:
            self._admission = before.admission or self._admission
            self._admin = [listener_states.resumed(one) for one in before.admin]
            if before.listener is not None:
                self._listener, self.endpoint = _socket(before.listener), before.endpoint
            self._ours, self._theirs = _socket(before.ours), _socket(before.theirs)
        else:
            self._bind(endpoint, admin)
        self._ours.setblocking(False)
        self._rest = b""
        # What was the last state: how much news there was, and how watchers stood; and when that was.
        self._told: tuple[int, dict[str, Standing], float] = (-1, {}, 0.0)
        self._version = 0 if before is None else before.version
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._ours, self._asked)

    def _bind(self, endpoint: str | None, admin: AdminSpec | None) -> None:
        self._admin = [] if admin is None else sockets.bind_all([admin.bind])
        if endpoint is not None:
            try:
                self._listener, self.endpoint = binding.bind_one(endpoint, self._security)
            except BigtopError:
                self._close_admin()
                raise
            logger.info("figures on %s", self.endpoint)
        if self._admin:
            logger.info("admin listener on %s", ", ".join(one.address() for one in self._admin))
        self._ours, self._theirs = socket.socketpair()

    def held(self) -> StatisticsState:
        return StatisticsState(
            listener=None if self._listener is None else Descriptor(self._listener.fileno()),
            endpoint=self.endpoint,
            admin=tuple(map(listener_states.of, self._admin)),
            ours=Descriptor(self._ours.fileno()),
            theirs=Descriptor(self._theirs.fileno()),
            version=self._version,
            admission=self._admission,
            asked=self._asked_at_start,
        )

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
        standings = self._overview.standings()
        if (heard, standings) != self._told[:2] or now - self._told[2] > _RENEWED:
            self._told = heard, standings, now
            self._version += 1
        return None if known == self._version else self._overview.roster(self._version, standings)


def _socket(descriptor: Descriptor) -> socket.socket:
    return socket.socket(fileno=descriptor.number)
