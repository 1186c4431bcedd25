# Stream of HTTP/2: one request and its answer, which is what a whole connection of HTTP/1.1 is to a call.

from __future__ import annotations

from typing import Final

from bigtop.backends.asgi.calls.call import Call
from bigtop.backends.asgi.calls.stream import Stream
from bigtop.backends.asgi.context import WorkerContext
from bigtop.backends.asgi.http2.link import Link
from bigtop.backends.asgi.http2.outgoing import Outgoing
from bigtop.backends.asgi.loop.waiters import Waiters
from bigtop.backends.asgi.metrics import MeteredCall
from bigtop.backends.native.farewells import Asks
from bigtop.errors import ProtocolError
from bigtop.http.h2.error_codes import CANCEL
from bigtop.http.h2.response_heads import CONTINUE, early_hints
from bigtop.http.handlers import FilePart

LEFT: Final = 499  # nginx's status of a request whose client left before it was answered
SMALL: Final = 16384  # bytes of an answer that may wait for the windows when it counts as given


class Http2Stream(Stream):
    """One of those of a `link`, by its number. It is the StreamOwner of its call as well."""

    __slots__ = (
        "_answered",
        "_call",
        "_context",
        "_link",
        "_out",
        "_started",
        "_untaken",
        "_waiters",
        "is_open",
        "number",
    )

    def __init__(self, link: Link, number: int, context: WorkerContext) -> None:
        Stream.__init__(self, link.transport.raw)
        self.shares = True
        self._link = link
        self._context = context
        self.number = number
        self.is_open = True  # something can be sent
        self._call: Call | None = None
        self._out: Outgoing | None = None  # of that call
        self._started = False  # it was
        self._answered = False  # the application has said all
        self._untaken = 0  # bytes of the body that nobody said need no more room
        self._waiters = Waiters(context.loop)

    def serve(self, call: Call) -> None:
        """Have this call answer; start() follows."""
        self._call = call
        self._out = Outgoing(self._link, self.number, call.request, call.answer, self._abort)

    # ---- what the client says

    def start(self) -> None:
        call = self._call
        if self.is_open and call is not None:
            self._started = True
            call.start()

    def received(self, data: bytes) -> None:
        call = self._call
        body = None if call is None else call.body
        if body is not None and not body.gone:
            self._untaken += len(data)
            body.put(data)
        else:
            self._link.http2.taken(self.number, len(data))

    def body_ended(self) -> None:
        call = self._call
        if call is not None and call.body is not None:
            call.body.end()

    def refuse(self, error: ProtocolError) -> None:
        call = self._call
        if call is None:
            return
        call.leave()
        if call.answer.framing is None:
            call.answer_for(error.status, str(error))
        else:
            self.give_up(call)

    def leave(self) -> None:
        call = self._call
        if not self.is_open:
            return
        if call is None or not self._started:
            if call is not None:
                self._context.metrics.refused(call.request, LEFT, b"", call.peer, call.called)
            self._close()
            return
        call.leave()
        call.answer.status = call.answer.status or LEFT
        self._finish(call)

    def drain(self, asks: Asks) -> None:
        pass  # the answer is given in peace

    def progressed(self) -> None:
        out, call = self._out, self._call
        if not self.is_open or out is None:
            return
        waiting = out.waiting
        if waiting <= self._link.transport.turn.limit // 2:
            self._waiters.wake()
        if self._answered and waiting <= SMALL and call is not None and not out.has_parts:
            self._finish(call)
        elif not (self._answered or self._waiters.has_any):
            self._link.held.pop(self.number, None)

    # ---- what the call does

    def resume(self) -> None:
        if self._untaken and self.is_open:
            self._link.http2.taken(self.number, self._untaken)
            self._untaken = 0
            self._link.need()

    @property
    def waiting(self) -> int:
        out = self._out
        return out.waiting if self.is_open and out is not None else 0

    def invite(self) -> None:
        self._link.interim(self.number, CONTINUE)

    def inform(self, headers: list[tuple[str, str]]) -> None:
        self._link.interim(self.number, early_hints(headers))

    def write(self, data: bytes) -> None:
        out = self._out
        if self.is_open and out is not None:
            out.write(data)

    def write_between(self, before: bytes, part: FilePart | bytes, after: bytes) -> None:
        out = self._out
        if self.is_open and out is not None:
            out.write(part, before)

    async def room(self) -> None:
        while self.waiting > self._link.transport.turn.limit:
            self._link.held[self.number] = self
            await self._waiters.wait()

    async def flushed(self) -> None:
        while self.waiting:
            self._link.held[self.number] = self
            await self._waiters.wait()

    # ---- who owns the answer

    def sending(self) -> None:
        pass  # http/h2 has an eye on what the client takes

    def answered(self, call: MeteredCall) -> None:
        out, mine = self._out, self._call  # names: compiled code believes an attribute to stay what it was
        if mine is not call or out is None:
            return
        self._answered = True
        out.complete()
        if self._call is not call:
            return  # that was its end
        if self.waiting > SMALL:
            self._link.held[self.number] = self
            self._context.metrics.held_up(call)
        else:
            self._finish(call)

    def give_up(self, call: MeteredCall) -> None:
        out, mine = self._out, self._call
        if mine is call and out is not None:
            out.break_off()
            if self._call is call:  # nobody has left meanwhile
                self._finish(call)

    def cut(self) -> None:
        if self.is_open:
            self._link.http2.reset(self.number, CANCEL)
            self.leave()

    # ---- the end

    def _abort(self) -> None:
        call = self._call
        if call is not None:
            call.gone = True
            self.give_up(call)

    def _finish(self, call: MeteredCall) -> None:
        self._call = None
        self._context.metrics.answered(call)
        self._close()

    def _close(self) -> None:
        """Neither receive nor send anything more; what was handed over still goes out."""
        if self.is_open:
            self.is_open = False
            self.at_end = True
            if self._out is not None:
                self._out.drop()
                self._out = None
            self._link.close(self.number)
            self._waiters.wake()
