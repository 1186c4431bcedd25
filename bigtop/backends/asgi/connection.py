# One client that speaks HTTP: requests are read and answered one after the other.
#
# Rule 1: one request at a time. While it is answered the socket is read on, because an end there is news for
# the application; what a client pipelines stays in `_backlog`, at most one read's worth.
# Rule 2: a body is read no faster than the application takes it.

from __future__ import annotations

from collections import deque

from bigtop.backends.asgi.call import Call
from bigtop.backends.asgi.client import BaseClient
from bigtop.backends.asgi.site import Site
from bigtop.backends.asgi.websocket import WebSocket
from bigtop.backends.asgi.wire import Wire
from bigtop.backends.deadlines import Wait
from bigtop.clock import monotonic_ns
from bigtop.errors import ProtocolError
from bigtop.http.engine import BODY, CLOSED, HEAD, IDLE, Engine
from bigtop.http.messages import END, Event, Request
from bigtop.http.response import error_response
from bigtop.http.scope import Peer

LEFT = 499  # nginx's status of a request whose client left before it was answered


class Connection(BaseClient):
    """The Owner of a wire, for HTTP/1.x; it serves from the beginning on."""

    __slots__ = ("_advancing", "_backlog", "_call", "_engine", "_over", "_peer", "_writing")

    def __init__(self, site: Site, wire: Wire, peer: Peer, engine: Engine) -> None:
        super().__init__(site, wire)
        self._peer = peer
        self._engine = engine
        self._backlog: deque[Event] = deque()
        self._call: Call | None = None  # the request that is answered
        self._advancing = False
        self._writing = False  # its answer is complete and waits for the client to read it
        self._over = False  # closed, or somebody else's
        wire.owner = self
        site.add(self)
        self._settle()

    # ---- a request comes in

    def received(self, data: bytes) -> None:
        site = self._site
        site.ledger.bytes_in += len(data)
        if self._lingering:
            self.wire.turn.need()
            return
        events = self._engine.feed(data)
        # Nearly always a request comes whole, alone and to an idle connection. (The name is for mypyc, to
        # which an attribute that was None is None from then on.)
        is_answering = self._call is not None
        if len(events) == 1 and not is_answering and not self._backlog:
            request = events[0]
            if isinstance(request, Request) and request.ended and self._engine.error is None:
                self._advancing = True
                if (call := self._begin(request)) is not None:
                    call.start()
                self._advancing = False
                # When it was answered at once, there is nothing new about the connection.
                idle = site.clocks.idle
                same = self._call is None and self._engine.phase is IDLE and self.wait is idle
                if not (same and idle.is_fresh(self, monotonic_ns())):
                    self._settle()
                return
        self.wire.turn.need()
        self._backlog += events
        self._advance()

    def _advance(self) -> None:
        """Go on with what was read."""
        self._advancing = True
        while self._backlog and (call := self._next_call()) is not None:
            if self._engine.error is not None and not _has_all(call):
                self._call = None  # its body makes no sense: the application need not know of it
                break
            call.start()
        self._advancing = False
        self._settle()

    def _next_call(self) -> Call | None:
        """Give out pieces of a body until a further request can be begun; return that with what it has."""
        backlog = self._backlog
        begun = None
        while backlog and not (self._lingering or self._writing or self._over):
            event = backlog[0]
            if isinstance(event, Request):
                if self._call is not None:
                    break
                backlog.popleft()
                begun = self._begin(event)
                continue
            backlog.popleft()
            inbox = self._call.inbox if self._call is not None else None
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
            self.refuse(ProtocolError(503, "too many requests at once"))
            return None
        if request.upgrade is not None:
            self._over = True
            websocket = WebSocket(site, self.wire, self._peer, request)
            site.replace(self, websocket)
            websocket.open(self._engine.take_rest())
            return None
        if site.draining or not site.clocks.keeps:
            request.keep_alive = False
        self._call = call = Call(site, self, self._peer, request)
        return call

    def _settle(self) -> None:
        """Read or not, and by when something has to come."""
        if self._lingering or self._writing or self._over:
            return
        site, call, phase = self._site, self._call, self._engine.phase
        clocks, now = site.clocks, monotonic_ns()
        error = self._engine.error
        if error is not None and (call is None or not _has_all(call)):
            self.refuse(error)
        elif call is None:
            if self.wire.at_end:
                self.cut()
            elif phase is not HEAD:
                # A draining worker does not close idle connections at once, but waits for one more request
                # each, whose answer says that it was the last: one may be on its way.
                clocks.start(self, clocks.last if site.draining else clocks.idle, now)
                self.wire.resume()
            elif self.wait is not clocks.head:
                clocks.start(self, clocks.head, now)
        elif self._backlog or error is not None or _has_enough(call, site.options.limits.body_memory):
            self.wire.pause()
            clocks.stop(self)
        elif phase is BODY:
            if not self.wire.waiting:
                clocks.start(self, clocks.body, now)
        elif self.wait is clocks.body or self.wait is clocks.head:
            clocks.stop(self)

    def refuse(self, error: ProtocolError) -> None:
        """The client broke HTTP, is too slow or one too many. What comes from it now cannot be used."""
        if (call := self._call) is None:
            self.wire.write(error_response(error.status, str(error), self._site.stamps.now()))
            self._backlog.clear()
            self.linger()
            return
        call.leave()
        if call.answer.framing is None:
            call.answer_for(error.status, str(error))
        else:
            self.give_up(call)

    # ---- an answer goes out

    def answered(self, call: Call) -> None:
        """The answer to `call` is complete."""
        if self._call is not call:
            return
        if self.wire.waiting:
            self._writing = True
            self.wire.pause()  # what comes now could only pile up
            self._site.ledger.writing(call)
            self.sending()
        else:
            self._finish()

    def progressed(self) -> None:
        if self._writing and not self.wire.waiting:
            self._site.clocks.stop(self)
            self._finish()
        else:
            super().progressed()

    def give_up(self, call: Call) -> None:
        """End the connection, in the middle of an answer or with one that is not the application's."""
        call.gone = True
        if self._call is not call:
            return
        framing = call.answer.framing
        self._call = None
        self._site.ledger.answered(call)
        if framing is None:
            self.linger()
        else:
            # Where the end of the connection is the end of the answer, it must not look like one.
            self.wire.close(reset=framing.left is None and not framing.chunked)
            self.lost()

    def _finish(self) -> None:
        """The whole answer is out."""
        call, self._call = self._call, None
        assert call is not None
        self._site.ledger.answered(call)
        framing, phase = call.answer.framing, self._engine.phase
        self._writing = False
        if framing is None or not framing.keep_alive or not _has_all(call):
            # Whoever asked for the close sends nothing more; the others might.
            if self.wire.at_end or (phase is CLOSED and self._engine.error is None):
                self.cut()
            else:
                self._backlog.clear()
                self.linger()
        elif not self._advancing:
            if self._backlog:
                self._site.loop.call_soon(self._advance)  # not from within this application call
            else:
                self._settle()

    # ---- the end

    def ended(self) -> None:
        """The client sends nothing more, but may be waiting for its answer."""
        if self._call is None:
            self.cut()
            return
        self._call.request.keep_alive = False  # unless its head is out
        if self._call.inbox is not None:
            self._call.inbox.leave()
        if self._site.clocks.body is self.wait:
            self._site.clocks.stop(self)

    def lost(self) -> None:
        if self._over:
            return
        self._over = True
        self._backlog.clear()
        if (call := self._call) is not None:
            call.leave()
            call.answer.status = call.answer.status or LEFT
            self._call = None
            self._site.ledger.answered(call)
        super().lost()

    def late(self, wait: Wait) -> None:
        clocks = self._site.clocks
        if wait is clocks.head or wait is clocks.body:
            self.refuse(ProtocolError(408, "the request did not arrive in time"))
        elif wait is clocks.send or wait is clocks.linger:
            self.cut()
        elif self._call is None:
            if self.wire.has_input():  # it came just now
                clocks.start(self, wait, monotonic_ns())
            else:
                self.cut()

    @property
    def is_idle(self) -> bool:
        """Whether it stands between two requests."""
        busy = self._call is not None or self._lingering or self._over
        return not busy and self._engine.phase is IDLE

    def drain(self) -> None:
        clocks = self._site.clocks
        if self._call is not None:
            self._call.request.keep_alive = False  # unless its head is out
        elif self.is_idle:
            clocks.start(self, clocks.last, monotonic_ns())


def _has_all(call: Call) -> bool:
    return call.inbox is None or call.inbox.ended


def _has_enough(call: Call, limit: int) -> bool:
    return call.inbox is not None and call.inbox.size > limit
