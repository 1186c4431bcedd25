# One client that speaks HTTP: requests are read and answered one after the other.
#
# Rule 1: one request at a time. While it is answered the socket is read on, because an end there is news for
# the application; what a client pipelines stays in `_backlog`, at most one read's worth.
# Rule 2: a body is read no faster than the application takes it.
# Rule 3: a connection that may still send is closed by halves (linger), for a close with unread input is a
# reset, and a reset can destroy the answer before the client has read it (RFC 9112, 9.6).

from __future__ import annotations

from collections import deque
from enum import Enum
from time import monotonic_ns

from bigtop.backends.asgi.call import Call
from bigtop.backends.asgi.site import Site
from bigtop.backends.asgi.websocket import WebSocket
from bigtop.backends.asgi.wire import Wire
from bigtop.backends.deadlines import Wait
from bigtop.errors import ProtocolError
from bigtop.http.asgi import Peer
from bigtop.http.engine import BODY, CLOSED, HEAD, IDLE, Engine
from bigtop.http.messages import END, Event, Request
from bigtop.http.response import error_response
from bigtop.http.websocket import read_handshake


class Stage(Enum):
    OPEN = 1  # a request is awaited, arrives or is answered
    WRITING = 2  # an answer is complete and waits for its client to read it
    LINGERING = 3  # all is said; what the client still sends is dropped
    OVER = 4


OPEN, WRITING, LINGERING, OVER = Stage  # an enum's member costs a look-up each time it is named
LEFT = 499  # nginx's status of a request whose client left before it was answered


class Connection:
    """The Owner of a wire, for HTTP/1.x."""

    __slots__ = (
        "_advancing", "_backlog", "_engine", "_peer", "_site", "_stage",
        "call", "ended_input", "wait", "wire",
    )  # fmt: skip

    def __init__(self, site: Site, wire: Wire, peer: Peer, engine: Engine) -> None:
        self._site = site
        self._peer = peer
        self._engine = engine
        self._stage = OPEN
        self._backlog: deque[Event] = deque()
        self._advancing = False
        self.wire = wire
        self.call: Call | None = None  # the request that is answered
        self.ended_input = False  # the client sends nothing more
        self.wait: Wait | None = None  # the clock that runs

    def open(self) -> None:
        """Begin to serve."""
        self.wire.owner = self
        self._site.add(self)
        self._settle()

    # ---- a request comes in

    def received(self, data: bytes) -> None:
        self._site.ledger.received(len(data))
        if self._stage is LINGERING:
            return
        self._backlog += self._engine.feed(data)
        self._advance()

    def _advance(self) -> None:
        """Go on with what was read."""
        backlog = self._backlog
        self._advancing = True
        while (call := self._next_call()) is not None:
            call.start()
            if not backlog:
                break
        self._advancing = False
        self._settle()

    def _next_call(self) -> Call | None:
        """Give out pieces of a body until a further request can be begun; return that with what it has."""
        backlog = self._backlog
        begun = None
        while backlog and self._stage is OPEN:
            event = backlog[0]
            if isinstance(event, Request):
                if self.call is not None:
                    break
                backlog.popleft()
                begun = self._begin(event)
                continue
            backlog.popleft()
            inbox = self.call.inbox if self.call is not None else None
            if inbox is None:
                continue  # it was answered without
            if event is END:
                inbox.end()
            else:
                inbox.put(event)
        return begun

    def _begin(self, request: Request) -> Call | None:
        site = self._site
        limit = site.options.limit_concurrency
        if limit and site.ledger.busy >= limit:
            self._refuse(ProtocolError(503, "too many requests at once"))
            return None
        if request.upgrade is not None:
            self._switch(request)
            return None
        if site.draining or not site.options.limits.keep_alive:
            request.keep_alive = False
        self.call = call = Call(site, self, self._peer, request)
        return call

    def _switch(self, request: Request) -> None:
        try:
            handshake = read_handshake(request, self._site.options.websocket.origins)
        except ProtocolError as error:
            self._refuse(error)
            return
        self._stage = OVER
        websocket = WebSocket(self._site, self.wire, self._peer, request, handshake)
        self._site.replace(self, websocket)
        websocket.open(self._engine.take_rest())

    def _settle(self) -> None:
        """Read or not, and by when something has to come."""
        if self._stage is not OPEN:
            return
        site, call, engine = self._site, self.call, self._engine
        if engine.error is not None and not (call is None and self._backlog):
            self._break(engine.error)
            return
        clocks, phase, now = site.clocks, engine.phase, monotonic_ns()
        if call is not None:
            if self._backlog or (
                call.inbox is not None and call.inbox.size > site.options.limits.body_memory
            ):
                self.wire.pause()
                clocks.stop(self)
            elif phase is BODY:
                if not self.wire.waiting:
                    clocks.start(self, clocks.body, now)
                self.wire.resume()
            elif self.wait is clocks.body or self.wait is clocks.head:
                clocks.stop(self)
            return
        if phase is not HEAD:
            # A draining worker does not close idle connections at once, but waits for one more request each,
            # whose answer says that it was the last: one may be on its way when the connection closes.
            clocks.start(self, clocks.last if site.draining else clocks.idle, now)
        elif self.wait is not clocks.head:
            clocks.start(self, clocks.head, now)
        if not self.ended_input:
            self.wire.resume()
        elif not self._backlog:
            self._close()

    def body_was_taken(self) -> None:
        """Read on, if that was held up by a body that nobody took."""
        if self.call is not None and self._engine.phase is BODY and not self.ended_input:
            self.wire.resume()

    def _break(self, error: ProtocolError) -> None:
        """The client broke HTTP, or is too slow. Nothing that comes from it can be understood any more."""
        call = self.call
        if call is None:
            self._refuse(error)
        elif self._engine.phase is CLOSED and call.inbox is not None and not call.inbox.ended:
            call.leave()
            if call.answer.framing is not None:
                self.abort(call)
            else:
                call.answer.status = error.status
                self.answer_for(call, error_response(error.status, str(error), self._site.stamp()))
        else:  # what it broke is a later request: that one is refused when this one is answered
            self.wire.pause()

    def _refuse(self, error: ProtocolError) -> None:
        self.wire.write(error_response(error.status, str(error), self._site.stamp()))
        self._linger()

    # ---- an answer goes out

    def sending(self) -> None:
        """Something waits for the client to read."""
        clocks = self._site.clocks
        if self.wait is not clocks.send:
            clocks.start(self, clocks.send, monotonic_ns())

    def progressed(self) -> None:
        clocks = self._site.clocks
        if self.wire.waiting:
            clocks.start(self, clocks.send, monotonic_ns())
        elif self._stage is WRITING:
            self._finish()
        elif self.wait is clocks.send:
            clocks.stop(self)

    def answered(self, call: Call) -> None:
        """The answer to `call` is complete."""
        if self.wire.waiting:
            self._stage = WRITING
            self._site.ledger.writing(call)
            self.sending()
        elif self.call is call:
            self._finish()

    def answer_for(self, call: Call, answer: bytes) -> None:
        """Give an answer of our own, and end the connection."""
        call.gone = True
        call.bytes_out += len(answer)
        self.wire.write(answer)
        if self.call is call:
            self._forget()
            self._linger()

    def abort(self, call: Call) -> None:
        """End in the middle of an answer, so that the client sees that it is not whole."""
        call.gone = True
        if self.call is not call:
            return
        framing = call.answer.framing
        if framing is not None and framing.left is None and not framing.chunked:
            self.wire.reset()  # an end would look like the answer's own
        self._forget()
        self._close()

    def _finish(self) -> None:
        """The whole answer is out."""
        call = self._forget()
        framing = call.answer.framing
        self._stage = OPEN
        if self.wire.gone:
            return
        phase = self._engine.phase
        if framing is None or not framing.keep_alive or phase is BODY:
            # Whoever asked for the close sends nothing more; the others might.
            if self.ended_input or (phase is CLOSED and self._engine.error is None):
                self._close()
            else:
                self._linger()
        elif not self._advancing:
            if self._backlog:
                self._site.loop.call_soon(self._advance)  # not from within this application call
            else:
                self._settle()

    def _forget(self) -> Call:
        call = self.call
        assert call is not None
        self.call = None
        self._site.ledger.answered(call)
        return call

    # ---- the end

    def ended(self) -> None:
        self.ended_input = True
        if self._stage is LINGERING or self.call is None:
            self._close()
            return
        self.call.request.keep_alive = False  # unless its head is out
        if self.call.inbox is not None:
            self.call.inbox.leave()
        if self._site.clocks.body is self.wait:
            self._site.clocks.stop(self)

    def lost(self) -> None:
        if self._stage is OVER:
            return
        self._stage = OVER
        if (call := self.call) is not None:
            call.leave()
            call.answer.status = call.answer.status or LEFT
            self._forget()
        self._backlog.clear()
        self._site.remove(self)

    def late(self, wait: Wait) -> None:
        clocks = self._site.clocks
        if wait is clocks.send:
            self.cut()
        elif wait is clocks.linger:
            self._close()
        elif wait is clocks.head or wait is clocks.body:
            self._too_slow()
        elif self.call is None:
            if self.wire.has_input():  # it came just now
                clocks.start(self, wait, monotonic_ns())
            else:
                self._close()

    def _too_slow(self) -> None:
        call = self.call
        error = ProtocolError(408, "the request did not arrive in time")
        if call is None:
            self._refuse(error)
            return
        call.leave()
        if call.answer.framing is not None:
            self.abort(call)
        else:
            call.answer.status = 408
            self.answer_for(call, error_response(408, str(error), self._site.stamp()))

    def drain(self) -> None:
        clocks = self._site.clocks
        if self.call is not None:
            self.call.request.keep_alive = False  # unless its head is out
        elif self._stage is OPEN and self._engine.phase is IDLE:
            clocks.start(self, clocks.last, monotonic_ns())

    def cut(self) -> None:
        self.wire.close()
        self.lost()

    def _linger(self) -> None:
        """Close, but let the client read what it was sent."""
        self._stage = LINGERING
        self._backlog.clear()
        self.wire.end_output()
        clocks = self._site.clocks
        clocks.start(self, clocks.linger, monotonic_ns())
        self.wire.resume()

    def _close(self) -> None:
        self.wire.close()
        self.lost()
