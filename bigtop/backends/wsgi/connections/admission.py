# Admission of connections into a worker: accepted, or handed over by another one.
#
# Rule 1: leader only. Rule 2: taken in is only what something could be done for, so that everything else
# finds a worker which is free: not while all application slots are taken, nor with too many connections open.
#
# The request of a new client is mostly there when it is accepted, so it is read at once: a client that is
# answered and leaves never was in the epoll set, which saves three system calls. Until then it stands in
# `fresh`, so that no change of the lead forgets it.

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

from bigtop.backends.base import Life
from bigtop.backends.native.acceptor import Accepted, Acceptor
from bigtop.backends.native.app_queues import Arrival
from bigtop.backends.native.timeouts import NEVER
from bigtop.backends.wsgi.connections.connection import READING, Connection
from bigtop.backends.wsgi.connections.connections import Connections
from bigtop.backends.wsgi.connections.worker_handoff import WorkerHandoff
from bigtop.backends.wsgi.executors.executor import KEPT, SPARED, Executor, Lead
from bigtop.backends.wsgi.request_flow import RequestFlow
from bigtop.ipc.handoff import RequestPair
from bigtop.ipc.seats import Seat
from bigtop.log import logger as get_logger
from bigtop.system.clock import monotonic_ns

log = get_logger("bigtop.wsgi")

OPEN: Final = int(Seat.OPEN)
AT_ONCE: Final = 8  # let in each time a slot becomes free
MOMENT: Final = 1_000_000  # nanoseconds; who was idle for longer leaves the others their share of a burst


class Admission:
    """Opens and shuts acceptor and hand-off; `connection_factory` makes connections of clients."""

    def __init__(
        self,
        acceptor: Acceptor,
        worker_handoff: WorkerHandoff,
        connection_factory: Callable[[Accepted], Connection],
        connections: Connections,
        flow: RequestFlow,
        executor: Executor,
        life: Life,
    ) -> None:
        self.worker_handoff = worker_handoff
        self.crowded = False  # as many connections as there may be
        self.fresh: deque[Connection] = deque()  # accepted, and neither read nor watched
        self._served = 0  # of those, a moment ago
        self._served_until = 0  # for so long that is a moment
        self._told = False
        self._acceptor = acceptor
        self._connection_factory = connection_factory
        self._connections = connections
        self._flow = flow
        self._executor = executor
        self._life = life

    def regulate(self) -> None:
        """Take what comes exactly while something could be done for it."""
        self.crowded = len(self._connections.table) >= self._acceptor.room
        if self.crowded and not self._told:
            self._told = True
            log.warning("%d connections are open, as many as may be; others wait", self._acceptor.room)
        draining, starved = self._life.draining, self._acceptor.retry_at != NEVER
        able = self._executor.has_slot and not self.crowded and not starved and not self._life.held
        self._life.slot.seat[OPEN] = able and not draining
        self._acceptor.set(able and not draining)
        takes = able and not (draining and self.worker_handoff.has_heir())
        self.worker_handoff.set(takes, inbox=not starved)
        self.worker_handoff.app_handoff.set(takes)
        self._connections.timeouts.wake(self.due)

    def enter(self, fd: int, now: int, at_work: int) -> Connection | None:
        """Take one connection from `fd`, if it is one of ours; return it if it came from another worker.

        Of new clients one more for each of the `at_work` that are served before the next look at them, and
        for each that came a moment ago: otherwise a busy worker lets them in so slowly that the last of them
        waits for seconds.
        """
        if fd in self._acceptor:
            most = 1 + at_work + (self._served if now < self._served_until else 0)
            for number in range(most if most == 1 else self._acceptor.waiting(fd, most)):
                if self.crowded:
                    break
                client = self._acceptor.accept(fd, now, number)
                if client is None:
                    self.regulate()  # out of descriptors, perhaps
                    break
                if not self.worker_handoff.spread(client.socket):
                    self._admit(client, now, reads=True)
        elif fd in self.worker_handoff:
            return self._take_over_from(self.worker_handoff.arrival(fd), now)
        elif fd in self.worker_handoff.app_handoff:
            self._take_over_from(self.worker_handoff.app_handoff.arrival(), now)
        return None

    def read_fresh(self, now: int) -> Lead:
        """Read what new clients sent with their connections; return what became of the lead."""
        fresh, executor = self.fresh, self._executor
        self._served, self._served_until = len(fresh), now + MOMENT
        while fresh:
            if self._flow.ready or not executor.has_slot or (executor.detached and executor.holds_up):
                break  # unread, they can still go to a worker that is idle
            connection = fresh.popleft()
            if connection.stage is not READING:  # it went to another worker
                continue
            lead = self._flow.read(connection, now)
            if lead is not KEPT and lead is not SPARED:
                return lead
        self.watch_fresh()
        return KEPT

    def watch_fresh(self) -> None:
        """Have epoll report those who were accepted and not read."""
        while self.fresh:
            connection = self.fresh.popleft()
            if connection.stage is READING:
                self._flow.await_more(connection, monotonic_ns())

    def heed(self, now: int) -> None:
        """Do what the supervisor says of clients: serve its own, take others, share them out."""
        if self._life.shares:
            self._life.shares = False
            self.worker_handoff.share()
        while self._life.probes:
            self._admit(self._acceptor.probed(self._life.probes.popleft()), now)
        self.regulate()

    def let_in(self, now: int) -> None:
        """Accept some of those who wait outside, although there is work here for the slot that is free: they
        have their turn behind it, and would have none if those who are here always came first."""
        if self._acceptor.is_open:
            for client in islice(self._acceptor.accept_all(now), AT_ONCE):
                self._admit(client, now)
                if self.crowded:
                    break

    def close(self, now: int) -> None:
        """Leave the listeners to others; if there are none, accept first what waits in their queues."""
        if not self._life.held and not self.worker_handoff.has_heir():
            for client in self._acceptor.accept_all(now):
                self._admit(client, now)
        self._acceptor.close()

    def take_rest(self, now: int) -> None:
        """Take over, before leaving, what nobody else might."""
        self._take_over_from(self.worker_handoff.rest(), now)
        if not self.worker_handoff.has_heir():
            self._take_over_from(self.worker_handoff.app_handoff.rest(), now)

    @property
    def due(self) -> int:
        """When tend() is to be called."""
        return min(self._acceptor.retry_at, self.worker_handoff.due, self.worker_handoff.app_handoff.due)

    def tend(self, now: int) -> None:
        """Do what time has come for."""
        if now >= self._acceptor.retry_at:
            self._acceptor.retry_at = NEVER
            self.regulate()
        if now >= self.worker_handoff.app_handoff.due:
            self._take_over_from(self.worker_handoff.app_handoff.tend(now), now)
        if now >= self.worker_handoff.due:
            self._take_over_from(self.worker_handoff.tend(now), now)
            if self._acceptor.is_open:  # a worker that was told of a client may have been killed since
                for client in islice(self._acceptor.accept_all(now), 1):
                    self._admit(client, now)
            self.regulate()  # a draining worker's heirs may have gone

    def _take_over_from(self, source: Iterator[socket.socket | Arrival], now: int) -> Connection | None:
        """Return the last one that was taken over."""
        connection = None
        try:
            for arrived in source:
                connection = self._take_over(arrived, now)
        except OSError as error:
            self._acceptor.starve(error, now)
            self.regulate()
        return connection

    def _take_over(self, arrived: socket.socket | Arrival, now: int) -> Connection | None:
        data, proxied = b"", None
        if isinstance(arrived, Arrival):
            arrived, data, proxied = arrived
        elif isinstance(arrived, RequestPair):
            self._flow.delegating.adopt(arrived, now)
            return None
        try:
            client = Accepted(arrived, arrived.getsockname(), arrived.getpeername(), proxied)
        except OSError:  # the client has left on the way
            arrived.close()
            return None
        return self._admit(client, now, data)

    def _admit(self, client: Accepted, now: int, data: bytes = b"", *, reads: bool = False) -> Connection:
        connection = self._connection_factory(client)
        if (refusal := self._connections.add(connection)) is not None:
            self._connections.refuse(connection, refusal)
        elif data:
            self._flow.resume(connection, data)
        elif connection.transport.opening is not None:
            self._connections.open(connection, now)
        elif reads:
            self.fresh.append(connection)
        else:
            self._flow.await_more(connection, now)
        if len(self._connections.table) >= self._acceptor.room:
            self.regulate()
        return connection
