# The event loop of a worker: who can go on, and who must wait. What going on means is in request_flow.py.
#
# Rule 1: everything here runs in the leader (executor.py). During a call the lead may be lost: whatever runs
# one returns its Lead at once, and a leader that was replaced touches nothing any more.
# Rule 2: a connection is registered once, and epoll is level-triggered: what was not read is reported again,
# so a batch of events may be dropped at any point. Interest changes only when bytes must wait.
#
# A keep-alive GET costs three system calls: epoll_wait, recv, send. With a connection of its own it costs
# between six and eight.

from __future__ import annotations

import select
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT
from typing import Final

from bigtop.backends.base import Life
from bigtop.backends.cutoff import LAST_WORDS
from bigtop.backends.native.timeouts import NEVER, SECOND, Wait
from bigtop.backends.wsgi.connections.admission import Admission
from bigtop.backends.wsgi.connections.connection import (
    ANSWERING,
    LINGERING,
    MULTIPLEXED,
    QUEUED,
    READING,
    Connection,
)
from bigtop.backends.wsgi.connections.connections import Connections
from bigtop.backends.wsgi.executors.executor import KEPT, LOST, SPARED, Executor, Lead
from bigtop.backends.wsgi.request_flow import RequestFlow
from bigtop.http.engine import IDLE
from bigtop.ipc.scoreboard import Word
from bigtop.ipc.seats import Seat, SeatState
from bigtop.log import logger as get_logger
from bigtop.system.clock import monotonic_ns

log = get_logger("bigtop.wsgi")

STATE: Final = int(Seat.STATE)
WAITING: Final = int(Word.WAITING)
IDLE_NOW: Final = int(Seat.IDLE)


class EventLoop:
    """What comes next in this worker."""

    def __init__(
        self,
        epoll: select.epoll,
        admission: Admission,
        connections: Connections,
        flow: RequestFlow,
        executor: Executor,
        life: Life,
    ) -> None:
        self._epoll = epoll
        self._poll = executor.poll_of(epoll)
        self._admission = admission
        self._worker_handoff = admission.worker_handoff
        self._connections = connections
        self._flow = flow
        self._metrics = flow.metrics
        self._executor = executor
        self._life = life
        self._timeouts = connections.timeouts
        self._leave_at = NEVER  # when a draining worker cuts off what is still open
        if executor.overdue is not None:
            executor.overdue.wake = self._timeouts.wake
        self._epoll.register(executor.fileno(), EPOLLIN)
        self._epoll.register(life.fileno(), EPOLLIN)

    def lead(self) -> None:
        """Serve until another thread has taken the lead, or nothing is left to do."""
        self._flow.flush()
        self._admission.regulate()
        self._flow.delegating.relieve()
        self._life.slot.words[WAITING] = len(self._flow.ready)  # the leader before us may not have said so
        while self._turn() is not LOST:
            self._flow.flush()
            if self._life.draining and self._is_done():
                self._leave()
                return

    def _turn(self) -> Lead:
        patience = self._patience()
        self._metrics.post()
        events = self._poll(patience) if self._executor.size == 1 else self._poll_visibly(patience)
        now = monotonic_ns()
        table = self._connections.table
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
        if self._admission.fresh or (special and self._flow.ready):
            lead = self._run_ready(now) if self._flow.ready else self._admission.read_fresh(now)
            if lead is not KEPT and lead is not SPARED:
                return lead
        holds_up = self._executor.detached and self._executor.holds_up
        for connection, mask in batch:
            if connection.stage is not READING:
                self._on_event(connection, mask, now)
                continue
            if (
                holds_up
                and mask == EPOLLIN
                and self._worker_handoff.relieve(connection, not self._executor.has_slot, now)
            ):
                continue
            lead = self._flow.read(connection, now)
            if lead is not KEPT and lead is not SPARED:
                return lead
        if now >= self._timeouts.soonest:
            self._expire(now)
        if self._admission.crowded:
            self._admission.regulate()
        return self._run_ready(now) if self._flow.ready else KEPT

    def _poll_visibly(self, patience: float) -> list[tuple[int, int]]:
        """Tell siblings, meanwhile, whether there is nothing else to do here (see worker_handoff.py)."""
        seat = self._life.slot.seat
        seat[IDLE_NOW] = patience != 0 and not (self._executor.detached and self._executor.holds_up)
        events = self._poll(patience)
        seat[IDLE_NOW] = 0
        return events

    def _patience(self) -> float:
        """Return how many seconds epoll may wait, -1 for ever."""
        if self._admission.fresh or (self._flow.ready and self._executor.has_slot):
            return 0
        until = min(self._timeouts.soonest, self._leave_at)
        return -1 if until == NEVER else max(0, until - monotonic_ns()) / SECOND

    # ---- what epoll reports

    def _on_special(self, fd: int, mask: int, now: int, at_work: int) -> list[tuple[Connection, int]]:
        """Return what may be readable besides: connections from other workers mostly come with a request."""
        if fd == self._executor.fileno():
            self._on_reports(now)
        elif fd == self._life.fileno():
            self._on_lifeline(mask, now)
        elif not (self._connections.is_elsewhere(fd, now) or self._flow.delegating.on_pair(fd, now)):
            connection = self._admission.enter(fd, now, at_work)
            if connection is not None:
                return [(connection, EPOLLIN)]
        return []

    def _on_event(self, connection: Connection, mask: int, now: int) -> None:
        stage = connection.stage
        if stage is LINGERING:
            self._connections.drop_input(connection)
        elif connection.passed_on is not None:
            connection.passed_on.on_event(now)
        elif (
            stage is ANSWERING
            and connection.stream.write_buffer is not None
            and mask & (EPOLLOUT | connection.transport.write_event)
        ):
            self._flow.slow.send_rest(connection, now)
        elif stage is MULTIPLEXED:
            self._flow.multiplexed.on_event(connection, mask, now)
        elif stage is ANSWERING or stage is QUEUED:
            self._connections.watch(connection, 0)  # what comes now is read when its turn has come
            if mask & (EPOLLERR | EPOLLHUP) and connection.stream.write_buffer is not None:
                self._flow.slow.lose(connection)

    def _on_reports(self, now: int) -> None:
        """Do what threads without the lead asked for."""
        executor = self._executor
        executor.hear()
        while executor.blocked:
            stream = executor.blocked.popleft()
            if stream.fd < 0:
                self._flow.multiplexed.blocked(stream, now)
                continue
            connection = self._connections.of(stream)
            blocked = connection.call if connection is not None and connection.passed_on is None else None
            if connection is not None and blocked is not None and not blocked.settled and stream.waits:
                self._flow.slow.wait_for_room(connection, now)
        while executor.finished:
            call = executor.finished.popleft()
            executor.settled(call)
            self._flow.settle(call)
        self._admission.regulate()
        if self._flow.ready:
            self._admission.let_in(now)

    def _on_lifeline(self, mask: int, now: int) -> None:
        life = self._life
        life.on_lifeline()
        if not life.draining:
            self._admission.heed(now)
            return
        self._flow.draining = True
        if mask & EPOLLHUP:  # the supervisor is gone; that would be reported for ever
            self._epoll.unregister(life.fileno())
        self._leave_at = min(self._leave_at, now + int(life.grace * SECOND))
        self._admission.close(now)
        self._admission.regulate()
        self._worker_handoff.leave_all(now)
        self._executor.part(now, life.grace)
        self._connections.part_elsewhere(now)
        self._timeouts.wake(self._executor.parting_due)
        has_heir = self._worker_handoff.has_heir()
        for connection in list(self._connections.table.values()):
            if connection.call is not None and (connection.stays or not has_heir):
                connection.call.request.keep_alive = False  # unless its head is out
            elif connection.stage is READING and connection.engine.phase is IDLE:
                self._timeouts.start(connection, self._timeouts.last, now)
            elif connection.stage is MULTIPLEXED:
                self._flow.multiplexed.drain(connection, now)

    def _run_ready(self, now: int) -> Lead:
        """Run what waits, once round, so that reading is never put off for long."""
        self._admission.watch_fresh()
        self._flow.delegating.relieve()
        lead = KEPT
        for _ in range(len(self._flow.ready)):
            if (lead is not KEPT and lead is not SPARED) or not self._executor.has_slot:
                break
            stream = self._flow.ready.popleft()
            if stream.fd < 0:
                lead = self._flow.multiplexed.run(stream, now)
            elif (connection := self._connections.of(stream)) is not None:
                if connection.stage is QUEUED:
                    lead = self._flow.advance(connection, now)
                elif connection.call is not None:
                    connection.hide()
                    lead = self._flow.run(connection.call)
        if lead is not LOST:
            self._life.slot.words[WAITING] = len(self._flow.ready)
        return lead

    # ---- time

    def _expire(self, now: int) -> None:
        for connection, wait in self._timeouts.expired(now):
            _late(self._flow, self._connections, connection, wait, now)
        self._connections.expire(now)
        if now >= self._admission.due:
            self._admission.tend(now)
        self._timeouts.wake(self._admission.due)
        if now >= self._executor.parting_due:
            self._executor.part(now)
        self._timeouts.wake(self._executor.parting_due)
        if (overdue := self._executor.overdue) is not None:
            if now >= overdue.due:
                overdue.look(now)
            self._timeouts.wake(overdue.due)

    # ---- the end

    def _is_done(self) -> bool:
        now = monotonic_ns()
        if now >= self._leave_at:
            return True
        if self._connections.table or self._executor.detached:
            return False
        # Whoever sends us a connection from now on sees that we are gone when it looks for stranded ones.
        seat = self._life.slot.seat
        seat[STATE] = SeatState.EMPTY
        self._admission.take_rest(now)
        if not self._connections.table:
            return True
        seat[STATE] = SeatState.DRAINING
        return False

    def _leave(self) -> None:
        if self._connections.table or self._executor.detached:
            self._end_calls()
        for connection in list(self._connections.table.values()):
            if connection.stage is not ANSWERING and not connection.is_at_work:
                self._connections.close(connection)  # threads may use the others; the process ends soon
        self._metrics.post()
        self._executor.stop()

    def _end_calls(self) -> None:
        """Cut off what was not done in time: nobody gets more of an answer, and calls come to their end."""
        table, executor = self._connections.table, self._executor
        self._life.cut_off([request for one in table.values() for request in one.unbegun()])
        self._flow.cut_off(list(table.values()))
        executor.cut_off(LAST_WORDS)
        self._on_reports(monotonic_ns())
        if executor.detached:
            log.error("the worker ends without %d calls that cannot be interrupted", executor.detached)


def _late(flow: RequestFlow, connections: Connections, connection: Connection, wait: Wait, now: int) -> None:
    """A clock of a connection has run out."""
    if connection.stage is READING:
        flow.late(connection, wait)
    elif connection.stage is LINGERING:
        connections.close(connection)
    elif connection.stage is MULTIPLEXED:
        flow.multiplexed.expired(connection, wait, now)
    elif connection.passed_on is not None:
        connection.passed_on.late(wait, now)
    elif wait is connections.timeouts.send:
        flow.slow.lose(connection)
    elif wait is connections.timeouts.pace:
        flow.slow.send_rest(connection, now)
