# Request flow of one connection: a request comes in, the application runs, an answer goes out.
#
# Rule: leader only, and after run() only if that did not lose the lead (executor.py).
# Rule: a clock that runs out while the application works means nothing, so that calls need not stop it.

from __future__ import annotations

import select
from collections import deque
from collections.abc import Sequence
from typing import Final

from bigtop.backends.native.handlers.handler_chain import Chain
from bigtop.backends.native.handlers.postponed import postponed
from bigtop.backends.native.timeouts import Wait
from bigtop.backends.native.transport.write_buffer import ClientGone
from bigtop.backends.wsgi.call import BREAK, CLOSE, Call
from bigtop.backends.wsgi.connections.connection import ANSWERING, MULTIPLEXED, QUEUED, READING, Connection
from bigtop.backends.wsgi.connections.connections import Connections
from bigtop.backends.wsgi.connections.multiplexing import Delegating, Multiplexing
from bigtop.backends.wsgi.connections.slow_clients import SlowClients
from bigtop.backends.wsgi.connections.worker_handoff import WorkerHandoff
from bigtop.backends.wsgi.executors.executor import KEPT, LOST, SPARED, Executor, Lead
from bigtop.backends.wsgi.metrics import WsgiMetrics
from bigtop.backends.wsgi.stream import Stream
from bigtop.errors import ProtocolError
from bigtop.http.engine import BODY, ELSEWHERE, HEAD, PRIOR_KNOWLEDGE
from bigtop.http.handlers import Postponed, Reply
from bigtop.http.keep_alive import is_last, may_send
from bigtop.http.messages import Request
from bigtop.ipc.scoreboard import RequestPhase
from bigtop.system.clock import monotonic_ns

EPOLLIN: Final[int] = select.EPOLLIN  # see clock.py
QUEUED_HERE: Final = RequestPhase.QUEUED  # see executor.py
HOLD: Final = 1_000_000  # nanoseconds for which an answer may be held, if no call takes longer


class RequestFlow:
    """Moves connections from stage to stage."""

    def __init__(
        self,
        connections: Connections,
        executor: Executor,
        metrics: WsgiMetrics,
        worker_handoff: WorkerHandoff,
        chain: Chain,
    ) -> None:
        self.handlers = chain.handlers
        self._queue_limit = chain.queue_limit
        self._connections = connections
        self._timeouts = connections.timeouts
        self._executor = executor
        self.draining = False  # the leader was told so
        self.metrics = metrics
        self._worker_handoff = worker_handoff
        self.ready: deque[Stream] = deque()  # have something to run and wait for their turn
        self.multiplexed = Multiplexing()
        self.delegating = Delegating()
        self.slow = SlowClients(connections, metrics, self.answered)
        self._unsent: deque[Call] = deque()  # calls that are over, with an answer that is held

    # ---- a request comes in

    def resume(self, connection: Connection, data: bytes) -> None:
        """Go on with what another application's worker read."""
        connection.take(data)
        connection.stage = QUEUED
        self.ready.append(connection.stream)

    def read(self, connection: Connection, now: int) -> Lead:
        try:
            size = connection.receive()
        except ClientGone:
            self._connections.close(connection)
            return KEPT
        if not size:
            if connection.stage is MULTIPLEXED:
                self.multiplexed.begin(connection, b"", now)
                return KEPT
            if self._connections.is_opening(connection):
                return KEPT
        self.metrics.bytes_in += size
        return self.advance(connection, now)

    def advance(self, connection: Connection, now: int) -> Lead:
        """Go on with what was read: run the application if a request is complete."""
        try:
            complete = connection.next_request()
        except ProtocolError as error:
            self._connections.refuse(connection, error)
            return KEPT
        if complete is None:
            self._await_rest(connection, now)
            return KEPT
        request, body = complete
        reply: Reply | None = None
        if self.handlers is not None and (request.ended or request is connection.asked):
            reply = self.handlers.handle(request, connection.stream.peer, now)
            if reply is not None or request.upgrade is not None:
                if self._connections.takes_elsewhere(connection, request, reply, now):
                    return KEPT
                if type(reply) is Postponed:
                    reply = postponed(request, reply)
            if reply is not None:
                connection.decline_rest(request)
            elif request is connection.asked:
                return self.advance(connection, now)  # with its body
        if self.draining or not self._timeouts.keeps:  # so that it costs other requests no call
            self.limit(connection, request)
        if connection.wait is not self._timeouts.idle:  # it came in pieces
            self._timeouts.stop(connection)
            connection.hide()
        connection.stage = ANSWERING
        connection.call = call = Call(connection.context, connection.stream, request, body, now)
        if reply is None and (self.ready or self._executor.detached == self._executor.size):
            self.ready.append(connection.stream)
            connection.show(QUEUED_HERE, now)
            return KEPT
        return self.run(call, reply)

    def limit(self, connection: Connection, request: Request) -> None:
        """Let the connection end behind a request that is its last one."""
        has_heir = self.draining and not connection.stays and self._worker_handoff.has_heir()
        if is_last(self._timeouts.keeps, self.draining, has_heir):
            request.keep_alive = False

    def _await_rest(self, connection: Connection, now: int) -> None:
        """Not all of a request is here."""
        if self._unsent:
            self.flush()  # to read on, from many perhaps, takes time and needs nothing of the application
        if connection.engine.phase is PRIOR_KNOWLEDGE:
            self.multiplexed.begin(connection, connection.engine.take_rest(), now)
        elif connection.engine.phase is ELSEWHERE and not connection.has_backlog:
            self._worker_handoff.app_handoff.leave(connection, now)
        elif connection.stage is READING and connection.wait and connection.engine.has_only_blanks:
            pass  # empty lines, however many, win no time
        else:
            self.await_more(connection, now)

    def await_more(self, connection: Connection, now: int) -> None:
        connection.stage = READING
        timeouts = self._timeouts
        phase = connection.engine.phase
        if phase is BODY:
            if connection.is_too_slow(timeouts.body, now):
                self._connections.refuse(connection, ProtocolError(408, "the body comes too slowly"))
                return
            self._connections.arrives(connection, timeouts.body, now)
        elif phase is not HEAD:
            if self.draining and self._worker_handoff.leave(connection, now):
                return
            # For one more request, if this worker drains: see http/keep_alive.py.
            timeouts.start(connection, timeouts.last if self.draining else timeouts.idle, now)
        elif connection.wait is not timeouts.head:
            self._connections.arrives(connection, timeouts.head, now)
        elif timeouts.head.rate and connection.is_too_slow(timeouts.head, now):
            self._connections.refuse(connection, ProtocolError(408, "the head comes too slowly"))
            return
        self._connections.watch(connection, EPOLLIN)

    def late(self, connection: Connection, wait: Wait) -> None:
        if wait is self._timeouts.head or wait is self._timeouts.body:
            began = monotonic_ns() - wait.length
            self._connections.refuse(
                connection, ProtocolError(408, "the request did not arrive in time"), began
            )
            return
        if size := connection.last_look():  # it may have come just now
            self.metrics.bytes_in += size
            connection.stage = QUEUED
            self.ready.append(connection.stream)
        else:
            self._connections.close(connection)

    # ---- the application

    def run(self, call: Call, reply: Reply | None = None) -> Lead:
        limit = self._queue_limit
        if limit is not None and reply is None and not call.called:
            reply = limit.refusal(call.stream.transport, monotonic_ns() - call.readable)
        self.metrics.called(call)
        if reply is not None:
            call.reply(reply)
            self.settle(call)
            return KEPT
        if self._unsent and call.called - self._unsent[0].called > HOLD:
            self.flush()
        lead = self._executor.run(call)
        if lead is not LOST and lead is not SPARED:
            self.settle(call)
        return lead

    def settle(self, call: Call) -> None:
        """The application is done with `call`."""
        now = self.metrics.returned(call)
        fill = call.request.fill
        if fill is not None:
            fill()
        call.settled = True
        held = self._executor.held
        if held and held[-1][0] is call.stream:
            self._unsent.append(call)
        else:
            if self._unsent and now - self._unsent[0].called > HOLD:
                self.flush()  # static files take their time as well
            self.handed_over(call, now)

    # ---- an answer goes out

    def flush(self) -> None:
        """Send all answers that are held."""
        held, unsent = self._executor.held, self._unsent
        while held:
            stream, data = held.popleft()
            stream.deliver(data)
        if unsent:
            now = monotonic_ns()
            while unsent:
                self.handed_over(unsent.popleft(), now)

    def handed_over(self, call: Call, now: int) -> None:
        """All of the answer is with the kernel or in the write buffer."""
        if call.stream.fd < 0:
            self.multiplexed.handed_over(call, now)
            return
        write_buffer = call.stream.write_buffer
        if write_buffer is not None and write_buffer.size:
            connection = self._connections.table[call.stream.fd]
            self.slow.wait_for(connection, call, write_buffer.size, now)
        else:
            self.answered(call, now)

    def cut_off(self, connections: Sequence[Connection]) -> None:
        """Nobody gets more of an answer."""
        for connection in connections:
            if connection.stage is MULTIPLEXED:
                self.multiplexed.cut_off(connection)
            elif connection.passed_on is not None:
                connection.passed_on.give_up(monotonic_ns())
            elif connection.call is not None and connection.call.called:
                connection.stream.abandon()
                if connection.call.settled:
                    self.slow.lose(connection)

    def answered(self, call: Call, now: int) -> None:
        """The whole answer is out, or never will be."""
        stream = call.stream
        connection = self._connections.table[stream.fd]
        if call.unclosed is not None:
            # To close it is the application's code, and takes a slot. Until then nothing may happen here: an
            # event could queue this connection a second time.
            self._connections.watch(connection, 0)
            self.ready.append(connection.stream)
            return
        self.metrics.answered(call, now)
        call.environ = call.exchange.wire = None
        write_buffer = stream.write_buffer
        if write_buffer is not None:
            write_buffer.close()
        connection.call = stream.write_buffer = None
        if call.fate is BREAK or (write_buffer is not None and write_buffer.gone):
            framing = call.exchange.framing
            self._connections.abort(connection, framing is not None and framing.is_close_delimited)
        elif call.fate is CLOSE:
            # An application has ended its WebSocket with the client; unless it was made to, by the drain.
            is_over = call.exchange.status == 101 and not self.draining
            if may_send(connection.engine) and not is_over:
                self._connections.part(connection)
            else:
                self._connections.close(connection)
        elif connection.has_backlog:
            connection.stage = QUEUED
            self.ready.append(connection.stream)
        elif connection.engine.phase is ELSEWHERE:
            connection.stage = READING
            self._worker_handoff.app_handoff.leave(connection, now)
        elif (
            connection.interest == EPOLLIN
            and not self.draining
            and connection.wait is self._timeouts.idle
            and self._timeouts.idle.is_fresh(connection, now)
        ):
            connection.stage = READING
        else:
            self.await_more(connection, now)
