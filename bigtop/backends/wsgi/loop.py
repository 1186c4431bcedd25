# The event loop of a worker: who can go on, and who must wait. What going on means is in service.py.
#
# Rule 1: everything here runs in the leader (crew.py). During a call the lead may be lost: whatever runs one
# returns its Lead at once, and a leader that was replaced touches nothing any more.
# Rule 2: a connection is registered once, and epoll is level-triggered: what was not read is reported again,
# so a batch of events may be dropped at any point. Interest changes only when bytes must wait.
#
# A keep-alive GET costs three system calls: epoll_wait, recv, send.

from __future__ import annotations

import select
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT
from typing import Final

from bigtop.backends.base import Life
from bigtop.backends.deadlines import NEVER, SECOND
from bigtop.backends.wsgi.clients import Clients
from bigtop.backends.wsgi.connection import ANSWERING, LINGERING, QUEUED, READING, Connection
from bigtop.backends.wsgi.crew import KEPT, LOST, SPARED, Crew, Lead
from bigtop.backends.wsgi.entrance import Entrance
from bigtop.backends.wsgi.service import Service
from bigtop.clock import monotonic_ns
from bigtop.http.engine import IDLE
from bigtop.scoreboard import State, Word

STATE: Final = int(Word.STATE)
WAITING: Final = int(Word.WAITING)
IDLE_NOW: Final = int(Word.IDLE)


class Loop:
    """What comes next in this worker."""

    def __init__(
        self,
        epoll: select.epoll,
        entrance: Entrance,
        clients: Clients,
        service: Service,
        crew: Crew,
        life: Life,
    ) -> None:
        self._epoll = epoll
        self._poll = crew.poll_of(epoll)
        self._entrance = entrance
        self._relay = entrance.relay
        self._clients = clients
        self._service = service
        self._ledger = service.ledger
        self._crew = crew
        self._life = life
        self._deadlines = clients.deadlines
        self._leave_at = NEVER  # when a draining worker cuts off what is still open
        self._epoll.register(crew.fileno(), EPOLLIN)
        self._epoll.register(life.fileno(), EPOLLIN)

    def lead(self) -> None:
        """Serve until another thread has taken the lead, or nothing is left to do."""
        self._service.flush()
        self._entrance.regulate()
        # The leader before us may have run the last one that waited, without coming back to say so.
        self._life.slot.words[WAITING] = len(self._service.ready)
        while self._turn() is not LOST:
            self._service.flush()
            if self._life.draining and self._is_done():
                self._leave()
                return

    def _turn(self) -> Lead:
        patience = self._patience()
        self._ledger.post()
        events = self._poll(patience) if self._crew.size == 1 else self._poll_visibly(patience)
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
            batch += self._on_special(fd, mask, now, len(batch))
        # What another application handed over cannot be handed on; what is to be read can.
        if special and self._service.ready:
            lead = self._run_ready(now)
            if lead is not KEPT and lead is not SPARED:
                return lead
        holds_up = self._crew.detached and self._crew.holds_up
        for connection, mask in batch:
            if connection.stage is not READING:
                self._on_event(connection, mask, now)
                continue
            if holds_up and mask == EPOLLIN and self._relay.relieve(connection, not self._crew.has_slot, now):
                continue
            lead = self._service.read(connection, now)
            if lead is not KEPT and lead is not SPARED:
                return lead
        if now >= self._deadlines.soonest:
            self._expire(now)
        if self._entrance.crowded:
            self._entrance.regulate()
        return self._run_ready(now) if self._service.ready else KEPT

    def _poll_visibly(self, patience: float) -> list[tuple[int, int]]:
        """Tell siblings, meanwhile, whether there is nothing else to do here (see relay.py)."""
        words = self._life.slot.words
        words[IDLE_NOW] = patience != 0 and not (self._crew.detached and self._crew.holds_up)
        events = self._poll(patience)
        words[IDLE_NOW] = 0
        return events

    def _patience(self) -> float:
        """Return how many seconds epoll may wait, -1 for ever."""
        if self._service.ready and self._crew.has_slot:
            return 0
        until = min(self._deadlines.soonest, self._leave_at)
        return -1 if until == NEVER else max(0, until - monotonic_ns()) / SECOND

    # ---- what epoll reports

    def _on_special(self, fd: int, mask: int, now: int, at_work: int) -> list[tuple[Connection, int]]:
        """Return what may be readable besides: connections from other workers mostly come with a request."""
        if fd == self._crew.fileno():
            self._on_reports(now)
        elif fd == self._life.fileno():
            self._on_lifeline(mask, now)
        else:
            connection = self._entrance.enter(fd, now, at_work)
            if connection is not None:
                return [(connection, EPOLLIN)]
        return []

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
        self._entrance.regulate()
        if self._service.ready:
            self._entrance.let_in(now)

    def _on_lifeline(self, mask: int, now: int) -> None:
        life = self._life
        life.on_lifeline()
        if not life.draining:
            return
        self._service.draining = True
        if mask & EPOLLHUP:  # the supervisor is gone; that would be reported for ever
            self._epoll.unregister(life.fileno())
        self._leave_at = min(self._leave_at, now + int(life.grace * SECOND))
        self._entrance.close(now)
        self._entrance.regulate()
        self._relay.leave_all(now)
        self._crew.part()
        has_heir = self._relay.has_heir()
        for connection in self._clients.table.values():
            if connection.call is not None and not has_heir:
                connection.call.request.keep_alive = False  # unless its head is out
            elif connection.stage is READING and connection.engine.phase is IDLE:
                self._deadlines.start(connection, self._deadlines.last, now)

    def _run_ready(self, now: int) -> Lead:
        """Run what waits, once round, so that reading is never put off for long."""
        lead = KEPT
        for _ in range(len(self._service.ready)):
            if (lead is not KEPT and lead is not SPARED) or not self._crew.has_slot:
                break
            connection = self._service.ready.popleft()
            if connection.stage is QUEUED:
                lead = self._service.advance(connection, now)
            elif connection.call is not None:
                lead = self._service.run(connection.call)
        if lead is not LOST:
            self._life.slot.words[WAITING] = len(self._service.ready)
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
        if now >= self._entrance.due:
            self._entrance.tend(now)
        self._deadlines.wake(self._entrance.due)

    # ---- the end

    def _is_done(self) -> bool:
        now = monotonic_ns()
        if now >= self._leave_at:
            return True
        if self._clients.table or self._crew.detached:
            return False
        # Whoever sends us a connection from now on sees that we are gone when it looks for stranded ones.
        words = self._life.slot.words
        words[STATE] = State.EMPTY
        self._entrance.take_rest(now)
        if not self._clients.table:
            return True
        words[STATE] = State.DRAINING
        return False

    def _leave(self) -> None:
        for connection in list(self._clients.table.values()):
            if connection.stage is not ANSWERING:  # its thread may be using it; the process ends soon
                self._clients.close(connection)
        self._ledger.post()
        self._crew.stop()
