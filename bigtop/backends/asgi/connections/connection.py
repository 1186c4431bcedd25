# One client that speaks HTTP: requests are read and answered one after the other.
#
# Rule 1: one request at a time. While it is answered the socket is read on, because an end there is news for
# the application; what a client pipelines stays in `_backlog`, at most one read's worth. What comes next
# stands last there: a list that is used up from its end takes a tenth of the memory of a deque.
# Rule 2: a body is read no faster than the application takes it.

from __future__ import annotations

from typing import Final

from bigtop.backends.asgi.calls.call import Call
from bigtop.backends.asgi.calls.new_call import new_call
from bigtop.backends.asgi.connections.buffered_transport import BufferedTransport
from bigtop.backends.asgi.connections.client_connection import ClientConnection
from bigtop.backends.asgi.connections.clients import Client
from bigtop.backends.asgi.context import WorkerContext
from bigtop.backends.asgi.loop.timers import Timers
from bigtop.backends.asgi.metrics import MeteredCall
from bigtop.backends.native.farewells import Asks
from bigtop.backends.native.timeouts import Wait
from bigtop.errors import ProtocolError
from bigtop.http.access_log.access_format import unread
from bigtop.http.engine import BODY, HEAD, IDLE, PRIOR_KNOWLEDGE, Engine
from bigtop.http.interfaces.scope import Peer
from bigtop.http.keep_alive import may_send
from bigtop.http.messages import END, Event, Request, queued
from bigtop.system.clock import monotonic_ns

LEFT = 499  # nginx's status of a request whose client left before it was answered

_LATE: Final = "the request did not arrive in time"


class Connection(ClientConnection):
    """The TransportOwner of a transport, for HTTP/1.x; it serves from the beginning on."""

    __slots__ = ("_advancing", "_backlog", "_call", "_peer", "_unread", "_writing", "engine", "is_over")

    def __init__(
        self, context: WorkerContext, transport: BufferedTransport, peer: Peer, engine: Engine
    ) -> None:
        super().__init__(context, transport)
        self._peer = peer
        self.engine = engine
        self._backlog: list[Event] = []
        self._call: Call | None = None  # the request that is answered
        self._advancing = False
        self._unread: Request | None = None  # one that broke HTTP behind its head
        self._writing = False  # its answer is complete and waits for the client to read it
        self.is_over = False  # closed, or somebody else's
        transport.owner = self
        if (error := context.clients.add(self, peer)) is not None:
            self.refuse(error)
        else:
            self._settle()

    # ---- a request comes in

    def received(self, data: bytes) -> None:
        context = self._context
        context.metrics.bytes_in += len(data)
        if self._lingering:
            self.transport.turn.need()
            return
        events = self.engine.feed(data)
        # Nearly always a request comes whole, alone, to an idle connection. (A name, for mypyc forgets None.)
        is_answering = self._call is not None
        if len(events) == 1 and not is_answering and not self._backlog:
            request = events[0]
            if isinstance(request, Request) and request.ended and self.engine.error is None:
                self._advancing = True
                if (call := self._begin(request)) is not None:
                    call.start()
                self._advancing = False
                idle = context.timers.idle  # answered at once, it is as it was
                same = self._call is None and self.engine.phase is IDLE and self.wait is idle
                if not (same and idle.is_fresh(self, monotonic_ns())):
                    self._settle()
                return
        self.transport.turn.need()
        if not events and (not data or self.engine.phase is PRIOR_KNOWLEDGE):
            _speak_http2(self, self.engine.take_rest())
            return
        if not (events or is_answering) and self.wait is not None and self.engine.has_only_blanks:
            return  # empty lines, however many, win no time
        self._backlog = queued(self._backlog, events)
        self._advance()

    def _advance(self) -> None:
        """Go on with what was read."""
        self._advancing = True
        while self._backlog and (call := self._next_call()) is not None:
            if self.engine.error is not None and not _has_all(call):
                # Its body makes no sense: the application need not know of it.
                self._call, self._unread = None, call.request
                break
            call.start()
        self._advancing = False
        self._settle()

    def _next_call(self) -> Call | None:
        """Give out pieces of a body until a further request can be begun; return that with what it has."""
        backlog = self._backlog
        begun = None
        while backlog and not (self._lingering or self._writing or self.is_over):
            event = backlog[-1]
            if isinstance(event, Request):
                if self._call is not None:
                    break
                backlog.pop()
                begun = self._begin(event)
                continue
            backlog.pop()
            body = self._call.body if self._call is not None else None
            if body is not None:  # otherwise it was answered without
                if event is END:
                    body.end()
                else:
                    body.put(event)
        return begun

    def _begin(self, request: Request) -> Call | None:
        call = new_call(self._context, self, self.transport, self._peer, request)
        if call is None:
            self.is_over = True
            from bigtop.backends.asgi.websockets.websocket_call import begin  # it needs libraries

            begin(self._context, self, self._peer, request, self.engine.take_rest())
            return None
        self._call = call
        self.transport.turn.need()
        return call

    def _settle(self) -> None:
        """Read or not, and by when something has to come."""
        if self._lingering or self._writing or self.is_over:
            return
        context, call, phase = self._context, self._call, self.engine.phase
        timers, now = context.timers, monotonic_ns()
        error = self.engine.error or _too_slow(timers, self.engine, call, timers.head.began(self), now)
        if error is not None and (call is None or not _has_all(call)):
            self.refuse(error)
        elif call is None:
            if self.transport.at_end:
                self.cut()
            elif phase is not HEAD:
                # For one more request, if this worker drains: see http/keep_alive.py.
                wait = timers.last if context.draining else timers.idle
                timers.start(self, timers.handshake if self.transport.raw.opening else wait, now)
            elif self.wait is not timers.head:
                context.arrives(self, self._peer, now)
            self.transport.resume()
        elif self._backlog or error is not None or _has_enough(call, context.options.limits.body_memory):
            self.transport.pause()
            if call.body is not None:
                call.body.pause()
            timers.start(self, timers.look, now)
        else:
            self.transport.resume()  # what was pipelined, and kept us from reading, is used up
            if phase is BODY and not self.transport.waiting:
                timers.start(self, timers.body, now)
            elif phase is not BODY and self.wait in (timers.body, timers.head, timers.look):
                timers.stop(self)

    def refuse(self, error: ProtocolError, began: int = 0) -> None:
        """The client broke HTTP, is too slow or one too many. What comes from it now cannot be used."""
        if (call := self._call) is None:
            what = self._unread or unread(self.engine.line)
            self.transport.write(self._context.refusal(self, what, error, self._peer, began))
            self._backlog.clear()
            self.linger()
            return
        call.leave()
        if call.answer.framing is None:
            call.answer_for(error.status, str(error))
        else:
            call.gone = True
            self.give_up(call)

    # ---- an answer goes out

    def answered(self, call: MeteredCall) -> None:
        """The answer to `call` is complete."""
        if self._call is not call:
            return
        if self.transport.write_buffer is not None:  # the client has not taken all
            self._writing = True
            self.transport.pause()  # what comes now could only pile up
            self._context.metrics.held_up(call)
            self.sending()
        else:
            self._finish()

    def progressed(self) -> None:
        if self._writing and not self.transport.waiting:
            self._context.timers.stop(self)
            self._finish()
        else:
            super().progressed()

    def give_up(self, call: MeteredCall) -> None:
        """End the connection, in the middle of an answer or with one that is not the application's."""
        if self._call is not call:
            return
        framing = call.answer.framing
        self._call = None
        self._context.metrics.answered(call)
        if framing is None:
            self.linger()
        else:
            # Where the end of the connection is the end of the answer, it must not look like one.
            self.transport.close(reset=framing.is_close_delimited)
            self.lost()

    def _finish(self) -> None:
        """The whole answer is out."""
        call, self._call = self._call, None
        assert call is not None
        self._context.metrics.answered(call)
        framing, body = call.answer.framing, call.body
        self._writing = False
        if framing is None or not framing.keep_alive or (body is not None and not body.ended):
            if may_send(self.engine) and not self.transport.at_end:
                self._backlog.clear()
                self.linger()
            else:
                self.cut()
        elif self._backlog and not self._advancing:
            self._context.loop.call_soon(self._advance)  # not from within this application call
        elif not self._advancing:
            self._settle()

    # ---- the end

    def ended(self) -> None:
        """The client sends nothing more, but may be waiting for its answer."""
        if self._call is None:
            self.cut()
            return
        self._call.request.keep_alive = False  # unless its head is out
        if self._call.body is not None:
            self._call.body.leave()
        if self._context.timers.body is self.wait:
            self._context.timers.stop(self)

    def lost(self) -> None:
        if self.is_over:
            return
        self.is_over = True
        self._backlog.clear()
        if (call := self._call) is not None:
            call.leave()
            call.answer.status = call.answer.status or LEFT
            self._call = None
            self._context.metrics.answered(call)
        super().lost()

    def late(self, wait: Wait) -> None:
        timers = self._context.timers
        if wait is timers.head or wait is timers.body:
            self.refuse(ProtocolError(408, _LATE), monotonic_ns() - wait.length)
        elif wait is timers.send or wait is timers.linger:
            self.cut()
        elif wait is timers.look:
            now = monotonic_ns()
            if (call := self._call) is not None and not call.is_deserted(now):
                timers.start(self, wait, now)
        elif self._call is None and self.transport.has_input():  # it came just now
            timers.start(self, wait, monotonic_ns())
        elif self._call is None:
            self.cut()

    @property
    def is_idle(self) -> bool:
        """Whether it stands between two requests."""
        return self._call is None and not (self._lingering or self.is_over) and self.engine.phase is IDLE

    def drain(self, asks: Asks) -> None:
        timers = self._context.timers
        if self._call is not None:
            self._call.request.keep_alive = False  # unless its head is out
        elif self.is_idle and self.wait is not timers.last:
            timers.start(self, timers.last, monotonic_ns())


def _speak_http2(connection: Connection, data: bytes) -> None:
    """Go over to HTTP/2, of which `data` is here."""
    if connection._call is not None or connection._backlog or not connection.transport.is_unused:
        # Who lets strangers' requests through could otherwise be made to change the protocol for others.
        connection.refuse(ProtocolError(505, "HTTP/2 begins with its connection"))
        return
    from bigtop.backends.asgi.http2.client import begin  # here: where clients speak that

    connection.is_over = True
    begin(connection._context, connection, connection._peer, connection.engine, data)


def _too_slow(
    timers: Timers[Client], engine: Engine, call: Call | None, began: int, now: int
) -> ProtocolError | None:
    """Return what is wrong with a client that sends less than it has to; its head `began` to come then."""
    body = None if call is None else call.body
    if engine.phase is HEAD and began and timers.head.is_too_slow(engine.spent, began, now):
        return ProtocolError(408, "the head comes too slowly")
    if engine.phase is BODY and body is not None and body.is_too_slow(timers.body, now):
        return ProtocolError(408, "the body comes too slowly")
    return None


def _has_all(call: Call) -> bool:
    return call.body is None or call.body.ended


def _has_enough(call: Call, limit: int) -> bool:
    return call.body is not None and call.body.size > limit
