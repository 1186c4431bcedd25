# Upstream answer: what another server answers (--proxy), on its way to a client of the native WSGI server.
#
# Rule: leader only. How the client speaks is a matter of the two that this is the base of: UpstreamCall and
# http2's UpstreamStream.

from __future__ import annotations

from abc import ABC, abstractmethod

from bigtop.backends.native.transport.write_buffer import ClientGone
from bigtop.backends.native.upstream.upstream_request import UpstreamRequest
from bigtop.backends.wsgi.call import BREAK, CLOSE, Call, Fate
from bigtop.errors import AnswerOver, ProtocolError
from bigtop.http.messages import END
from bigtop.http.upstream.response_reader import ResponseEvent, ResponseHead
from bigtop.ipc.scoreboard import Slot
from bigtop.system.clock import monotonic_ns


class UpstreamAnswer(ABC):
    """The answer to a call, as an UpstreamClient."""

    request: UpstreamRequest  # set before anything happens

    def __init__(self, call: Call, slot: Slot) -> None:
        self._call = call
        self._slot = slot  # on the scoreboard
        self._has_body = call.request.ended  # all of it is here
        self._is_over = False

    # ---- how the client speaks

    @abstractmethod
    def inform(self, head: ResponseHead) -> bytes:
        """Send an answer on the way (103), or return what is to be sent. Raises ClientGone."""

    @abstractmethod
    def go_on(self, now: int) -> None:
        """Something was sent, and more may come."""

    @abstractmethod
    def wants_body(self) -> None:
        """The other server takes more of what the client sends."""

    @abstractmethod
    def switch(self, head: ResponseHead) -> None:
        """Send a 101; another protocol is spoken from then on, of which raw() is told."""

    @abstractmethod
    def raw(self, data: bytes) -> None:
        """Send what came of the other protocol."""

    @abstractmethod
    def raw_end(self) -> None:
        """Nothing more comes; end the connection when all is sent."""

    @abstractmethod
    def give_up(self, now: int) -> None:
        """The client is gone, or too slow."""

    @abstractmethod
    def finish(self, fate: Fate, now: int) -> None:
        """Let the request flow see to what is left to send, and to the connection."""

    # ---- what comes from the other server

    def take(self, events: list[ResponseEvent]) -> None:
        """Send what came of the answer, END with the last of it."""
        call, is_over = self._call, events[-1] is END
        try:
            self._give(events)
            if is_over:
                call.finished()
        except AnswerOver:
            self.request.abandon(monotonic_ns())
            call.cut_short()
            is_over = True
        except ClientGone:
            self.give_up(monotonic_ns())
            return
        except Exception:
            # Whatever is wrong with a filter must not cost more than this one request.
            self.request.abandon(monotonic_ns())
            call.fail()
            is_over = True
        if is_over:
            self.finish(call.fate, monotonic_ns())
        else:
            self.go_on(monotonic_ns())

    def _give(self, events: list[ResponseEvent]) -> None:
        call, exchange, out = self._call, self._call.exchange, []
        is_new = exchange.framing is None
        for event in events:
            if isinstance(event, bytes):
                out.append(exchange.data(event))
            elif isinstance(event, ResponseHead):
                out.append(self._head(event))
            else:
                out.append(exchange.finish())
        if exchange.framing is None and exchange.head is not None:
            out.append(exchange.opened())
        data = b"".join(out)
        if data or (is_new and exchange.framing is not None):  # of HTTP/2 a head is no bytes yet
            call.stream.write(data)
            self._slot.moved(call.record, call.stream.written)

    def _head(self, head: ResponseHead) -> bytes:
        """Take a head; return what is sent at once."""
        if head.code < 200:
            return self.inform(head)
        if not self._has_body:
            self._call.request.keep_alive = False  # the rest would be read for nothing
        self._call.exchange.start_response(head.status, head.headers)
        return b""

    def fail(self, error: ProtocolError) -> None:
        """Answer with an error; nothing of an answer was sent."""
        self._answer(error, monotonic_ns())

    def break_off(self) -> None:
        """End the connection in the middle of an answer."""
        self.finish(BREAK, monotonic_ns())

    def is_full(self) -> bool:
        """Whether so much waits for the client that nothing more is to be read."""
        return self._call.stream.is_full

    # ---- the end

    def refuse(self, error: ProtocolError, now: int) -> None:
        """The client broke HTTP in its body, or is too slow."""
        self.request.abandon(now)
        if self._call.exchange.framing is None:
            self._answer(error, now)
        else:
            self.finish(BREAK, now)

    def _answer(self, error: ProtocolError, now: int) -> None:
        call = self._call
        try:
            call.stream.write(call.exchange.error(error.status, str(error)))
        except ClientGone:
            self.finish(BREAK, now)
        else:
            self.finish(CLOSE, now)
