# The event loop of a worker: who can go on, and who must wait. What going on means is in service.py.
#
# Rule 1: everything here runs in the leader (crew.py). During a call the lead may be lost: whatever runs one
# returns its Lead at once, and a leader that was replaced touches nothing any more.
# Rule 2: a connection is registered once, and epoll is level-triggered: what was not read is reported again,
# so a batch of events may be dropped at any point. Interest changes only when bytes must wait.
#
# A keep-alive GET costs three system calls: epoll_wait, recv, send.

from __future__ import annotations

from collections.abc import Callable
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT
from time import monotonic_ns

from bigtop.backends.base import Life
from bigtop.backends.wsgi.clients import Clients
from bigtop.backends.wsgi.connection import ANSWERING, LINGERING, QUEUED, READING, Connection
from bigtop.backends.wsgi.crew import Crew, Lead
from bigtop.backends.wsgi.deadlines import NEVER, SECOND
from bigtop.backends.wsgi.gate import Gate, Newcomer
from bigtop.backends.wsgi.ledger import Ledger
from bigtop.backends.wsgi.service import Service
from bigtop.http.engine import IDLE

KEPT, LOST = Lead.KEPT, Lead.LOST


class Loop:
    """What comes next in this worker. `welcome` makes a Connection of a newcomer."""

    def __init__(
        self,
        gate: Gate,
        welcome: Callable[[Newcomer], Connection],
        clients: Clients,
        service: Service,
        crew: Crew,
        life: Life,
        ledger: Ledger,
    ) -> None:
        self._gate = gate
        self._welcome = welcome
        self._clients = clients
        self._service = service
        self._crew = crew
        self._life = life
        self._ledger = ledger
        self._epoll = gate.epoll
        self._deadlines = clients.deadlines
        self._leave_at = NEVER  # when a draining worker cuts off what is still open
        self._epoll.register(crew.fileno(), EPOLLIN)
        self._epoll.register(life.fileno(), EPOLLIN)

    def lead(self) -> None:
        """Serve until another thread has taken the lead, or nothing is left to do."""
        self._regulate()
        while self._turn() is not LOST:
            if self._life.draining and self._is_done():
                self._leave()
                return

    def _turn(self) -> Lead:
        events = self._epoll.poll(self._patience())
        self._crew.turns += 1
        now = monotonic_ns()
        table = self._clients.table
        special, batch = [], []
        for fd, mask in events:
            connection = table.get(fd)
            if connection is None:
                special.append((fd, mask))
            else:
                batch.append((connection, mask))
        # Before any call: an exclusive wake-up was spent on this worker, nobody else is told of that client.
        for fd, mask in special:
            self._on_special(fd, mask, now)
        for connection, mask in batch:
            if connection.stage is not READING:
                self._on_event(connection, mask, now)
                continue
            lead = self._service.read(connection, now)
            if lead is not KEPT:
                return lead
        if now >= self._deadlines.soonest:
            self._expire(now)
        if now >= self._gate.retry_at:
            self._gate.retry()
        return self._run_ready(now) if self._service.ready else KEPT

    def _patience(self) -> float:
        """Return how many seconds epoll may wait, -1 for ever."""
        if self._service.ready and self._service.has_slot():
            return 0
        until = min(self._deadlines.soonest, self._gate.retry_at, self._leave_at)
        return -1 if until == NEVER else max(0, until - monotonic_ns()) / SECOND

    # ---- what epoll reports

    def _on_special(self, fd: int, mask: int, now: int) -> None:
        if fd in self._gate:
            self._accept(fd, now)
        elif fd == self._crew.fileno():
            self._on_reports(now)
        else:
            self._on_lifeline(mask, now)

    def _accept(self, fd: int, now: int) -> None:
        for newcomer in self._gate.accept(fd, now):
            connection = self._welcome(newcomer)
            self._clients.add(connection)
            self._service.await_more(connection, now)

    def _on_event(self, connection: Connection, mask: int, now: int) -> None:
        stage = connection.stage
        if stage is LINGERING:
            self._clients.drop_input(connection)
        elif stage is ANSWERING and mask & EPOLLOUT:
            self._service.send_rest(connection, now)
        elif stage is ANSWERING or stage is QUEUED:
            self._clients.watch(connection, 0)  # what comes now is read when its turn has come
            if mask & (EPOLLERR | EPOLLHUP) and connection.outbox is not None:
                self._service.lose(connection)

    def _on_reports(self, now: int) -> None:
        """Do what threads without the lead asked for."""
        crew = self._crew
        crew.hear()
        while crew.blocked:
            call = crew.blocked.popleft()
            if call.connection.call is call and not call.settled:
                self._deadlines.start(call.connection, self._deadlines.send, now)
                self._clients.watch(call.connection, EPOLLOUT)
        while crew.finished:
            crew.detached -= 1
            self._service.settle(crew.finished.popleft())
        self._regulate()
        if self._service.ready and self._gate.is_open:
            # Those who are here would take the slot at once, and again and again; who waits outside may come
            # in first, and has his turn behind them.
            for fd in self._gate:
                self._accept(fd, now)

    def _on_lifeline(self, mask: int, now: int) -> None:
        life = self._life
        life.on_lifeline()
        if not life.draining:
            return
        if mask & EPOLLHUP:  # the supervisor is gone; that would be reported for ever
            self._epoll.unregister(life.fileno())
        self._leave_at = min(self._leave_at, now + int(life.grace * SECOND))
        self._regulate()
        for connection in self._clients.table.values():
            if connection.call is not None:
                connection.call.request.keep_alive = False  # unless its head is out
            elif connection.stage is READING and connection.engine.phase is IDLE:
                self._deadlines.start(connection, self._deadlines.last, now)

    def _run_ready(self, now: int) -> Lead:
        """Run what waits, once round, so that reading is never put off for long."""
        lead = KEPT
        for _ in range(len(self._service.ready)):
            if lead is not KEPT or not self._service.has_slot():
                break
            connection = self._service.ready.popleft()
            if connection.stage is QUEUED:
                lead = self._service.advance(connection, now)
            elif connection.call is not None:
                lead = self._service.run(connection.call)
        if lead is not LOST:
            self._ledger.waiting(len(self._service.ready))
        return lead

    # ---- time

    def _expire(self, now: int) -> None:
        for connection, wait in self._deadlines.expired(now):
            if connection.stage is READING:
                self._service.late(connection, wait)
            elif connection.stage is LINGERING:
                self._clients.close(connection)
            elif wait is self._deadlines.send:
                self._service.lose(connection)

    # ---- the end

    def _regulate(self) -> None:
        """Take new clients exactly while something could be done for them."""
        self._gate.set(self._service.has_slot() and not self._life.draining)

    def _is_done(self) -> bool:
        idle = not self._clients.table and not self._crew.detached
        return idle or monotonic_ns() >= self._leave_at

    def _leave(self) -> None:
        for connection in list(self._clients.table.values()):
            if connection.stage is not ANSWERING:  # its thread may be using it; the process ends soon
                self._clients.close(connection)
        self._crew.stop()
