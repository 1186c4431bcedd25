# What happens to one connection: a request comes in, the application runs, an answer goes out.
#
# Rule: leader only, and after run() only if that did not lose the lead (crew.py).
# Rule: a clock that runs out while the application works means nothing, so that calls need not stop it.

from __future__ import annotations

import select
from collections import deque
from typing import Final

from bigtop.backends.deadlines import Wait
from bigtop.backends.files import StaticFiles
from bigtop.backends.outbox import ClientGone
from bigtop.backends.wsgi.call import BREAK, CLOSE, Call
from bigtop.backends.wsgi.clients import Clients
from bigtop.backends.wsgi.connection import ANSWERING, QUEUED, READING, Connection
from bigtop.backends.wsgi.crew import KEPT, LOST, SPARED, Crew, Lead
from bigtop.backends.wsgi.ledger import Ledger
from bigtop.backends.wsgi.relay import Relay
from bigtop.backends.wsgi.visitors import Visitors
from bigtop.clock import monotonic_ns
from bigtop.errors import ProtocolError
from bigtop.http.engine import BODY, ELSEWHERE, HEAD
from bigtop.http.response import error_response

EPOLLIN: Final[int] = select.EPOLLIN  # see clock.py
EPOLLOUT: Final[int] = select.EPOLLOUT
HOLD: Final = 1_000_000  # nanoseconds for which an answer may be held, if no call takes longer


class Service:
    """Moves connections from stage to stage."""

    def __init__(
        self,
        clients: Clients,
        crew: Crew,
        ledger: Ledger,
        relay: Relay,
        visitors: Visitors,
        files: StaticFiles | None,
    ) -> None:
        self._files = files
        self._clients = clients
        self._deadlines = clients.deadlines
        self._crew = crew
        self.draining = False  # the leader was told so
        self.ledger = ledger
        self._relay = relay
        self._visitors = visitors
        self.ready: deque[Connection] = deque()  # have something to run and wait for their turn
        self._unsent: deque[Call] = deque()  # calls that are over, with an answer that is held

    # ---- a request comes in

    def resume(self, connection: Connection, data: bytes) -> None:
        """Go on with what another application's worker read."""
        connection.take(data)
        connection.stage = QUEUED
        self.ready.append(connection)

    def read(self, connection: Connection, now: int) -> Lead:
        try:
            size = connection.receive()
        except ClientGone:
            self._clients.close(connection)
            return KEPT
        self.ledger.bytes_in += size
        return self.advance(connection, now)

    def advance(self, connection: Connection, now: int) -> Lead:
        """Go on with what was read: run the application if a request is complete."""
        try:
            complete = connection.next_request()
        except ProtocolError as error:
            self.refuse(connection, error)
            return KEPT
        if complete is None:
            if self._unsent:
                self.flush()  # to read on, from many perhaps, takes time and needs nothing of the application
            if connection.is_elsewhere:
                self._relay.router.leave(connection, now)
            else:
                self.await_more(connection, now)
            return KEPT
        request, body = complete
        if self._visitors.rate and not self._visitors.asks(connection.peer, now):
            body.close()
            self.refuse(connection, ProtocolError(429, "too many requests from this address"))
            return KEPT
        if not self._deadlines.keeps or (self.draining and not self._relay.has_heir()):
            request.keep_alive = False
        if connection.wait is not self._deadlines.idle:
            self._deadlines.stop(connection)
        connection.stage = ANSWERING
        connection.call = call = Call(connection, request, body, now)
        if self._files is not None and (reply := self._files.reply(request, now)) is not None:
            self.ledger.called(call)
            call.reply(reply)
            self.settle(call)
            return KEPT
        if self.ready or self._crew.detached == self._crew.size:
            self.ready.append(connection)
            return KEPT
        return self.run(call)

    def await_more(self, connection: Connection, now: int) -> None:
        connection.stage = READING
        clocks = self._deadlines
        phase = connection.engine.phase
        if phase is BODY:
            if connection.is_too_slow(clocks.body, now):
                self.refuse(connection, ProtocolError(408, "the body comes too slowly"))
                return
            clocks.start(connection, clocks.body, now)
        elif phase is not HEAD:
            if self.draining and self._relay.leave(connection, now):
                return
            # HTTP/1.1 has no way to take back an open connection: a request may be on its way when it closes.
            # So a worker that drains without an heir does not close idle ones at once, but waits for one more
            # request each, whose answer says that it was the last; only a client that is silent all the time,
            # and speaks in the very moment of the close, has to try again (RFC 9110, 9.2.2 expects that).
            clocks.start(connection, clocks.last if self.draining else clocks.idle, now)
        elif connection.wait is not clocks.head:
            clocks.start(connection, clocks.head, now)
        elif clocks.head.rate and connection.is_too_slow(clocks.head, now):
            self.refuse(connection, ProtocolError(408, "the head comes too slowly"))
            return
        self._clients.watch(connection, EPOLLIN)

    def late(self, connection: Connection, wait: Wait) -> None:
        if wait is self._deadlines.head or wait is self._deadlines.body:
            self.refuse(connection, ProtocolError(408, "the request did not arrive in time"))
            return
        try:
            size = connection.receive()  # a last look: it may have come just now
        except ClientGone:
            size = 0
        if size:
            self.ledger.bytes_in += size
            connection.stage = QUEUED
            self.ready.append(connection)
        else:
            self._clients.close(connection)

    def refuse(self, connection: Connection, error: ProtocolError) -> None:
        self._clients.refuse(
            connection, error_response(error.status, str(error), connection.site.stamps.now())
        )

    # ---- the application

    def run(self, call: Call) -> Lead:
        self.ledger.called(call)
        if self._unsent and call.called - self._unsent[0].called > HOLD:
            self.flush()
        lead = self._crew.run(call)
        if lead is not LOST and lead is not SPARED:
            self.settle(call)
        return lead

    def settle(self, call: Call) -> None:
        """The application is done with `call`."""
        now = self.ledger.returned(call)
        call.settled = True
        held = self._crew.held
        if held and held[-1][0] is call:
            self._unsent.append(call)
        else:
            if self._unsent and now - self._unsent[0].called > HOLD:
                self.flush()  # static files take their time as well
            self._handed_over(call, now)

    # ---- an answer goes out

    def flush(self) -> None:
        """Send all answers that are held."""
        held, unsent = self._crew.held, self._unsent
        while held:
            call, data = held.popleft()
            call.deliver(data)
        if unsent:
            now = monotonic_ns()
            while unsent:
                self._handed_over(unsent.popleft(), now)

    def _handed_over(self, call: Call, now: int) -> None:
        """All of the answer is with the kernel or in the outbox."""
        outbox = call.connection.outbox
        if outbox is not None and outbox.size:
            self.ledger.writing(call)
            self._deadlines.start(call.connection, self._deadlines.send, now)
            self._clients.watch(call.connection, EPOLLOUT)
        else:
            self._answered(call, now)

    def send_rest(self, connection: Connection, now: int) -> None:
        call, outbox = connection.call, connection.outbox
        assert call is not None
        assert outbox is not None
        try:
            empty = outbox.flush()
        except ClientGone:
            self.lose(connection)
            return
        if not empty:
            if self._deadlines.send.is_too_slow(outbox.taken, outbox.began, now):
                self.lose(connection)
            else:
                self._deadlines.start(connection, self._deadlines.send, now)
            return
        self._deadlines.stop(connection)
        self._clients.watch(connection, EPOLLIN)
        if call.settled:
            self._answered(call, now)

    def lose(self, connection: Connection) -> None:
        """The client of an answer is gone, or too slow."""
        call, outbox = connection.call, connection.outbox
        assert call is not None
        assert outbox is not None
        outbox.abandon()
        self._deadlines.stop(connection)
        self._clients.watch(connection, 0)
        if call.settled:
            self._answered(call, monotonic_ns())

    def _answered(self, call: Call, now: int) -> None:
        """The whole answer is out, or never will be."""
        connection = call.connection
        if call.unclosed is not None:
            # To close it is the application's code, and takes a slot. Until then nothing may happen here: an
            # event could queue this connection a second time.
            self._clients.watch(connection, 0)
            self.ready.append(connection)
            return
        self.ledger.answered(call, now)
        call.environ = call.exchange.wire = None
        outbox = connection.outbox
        if outbox is not None:
            outbox.close()
        connection.call = connection.outbox = None
        if call.fate is BREAK or (outbox is not None and outbox.gone):
            self._clients.abort(connection, call.is_close_delimited)
        elif call.fate is CLOSE:
            # Whoever asked for the close sends nothing more; the others might, and whoever was not listened
            # to until the end of a streamed body.
            if call.request.keep_alive or self.draining or connection.engine.phase is BODY:
                self._clients.part(connection)
            else:
                self._clients.close(connection)
        elif connection.has_backlog:
            connection.stage = QUEUED
            self.ready.append(connection)
        elif connection.engine.phase is ELSEWHERE:
            connection.stage = READING
            self._relay.router.leave(connection, now)
        elif (
            connection.interest == EPOLLIN
            and not self.draining
            and connection.wait is self._deadlines.idle
            and self._deadlines.idle.is_fresh(connection, now)
        ):
            connection.stage = READING
        else:
            self.await_more(connection, now)
