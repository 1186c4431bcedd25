# Upstream stream: one request on a stream of HTTP/2 that another server answers (--proxy).
#
# Rule: leader only. What the client sends has room again when the other server has taken it, or may wait for
# that; so a slow one holds up this stream alone.

from __future__ import annotations

from collections import deque

from bigtop.backends.wsgi.call import BREAK, Call, Fate
from bigtop.backends.wsgi.http2.stream import Http2Stream
from bigtop.backends.wsgi.request_flow import RequestFlow
from bigtop.backends.wsgi.upstream.upstream_answer import UpstreamAnswer
from bigtop.errors import ProtocolError
from bigtop.http.upstream.response_reader import ResponseHead
from bigtop.system.clock import monotonic_ns


class UpstreamStream(UpstreamAnswer):
    """One, which is the incoming body of its stream as well."""

    def __init__(self, flow: RequestFlow, stream: Http2Stream, call: Call) -> None:
        UpstreamAnswer.__init__(self, call, stream.connection.context.slot)
        self._flow = flow
        self._stream = stream
        self._pieces: deque[bytes] = deque()  # that came, and are not passed on

    # ---- what the client says

    def add(self, piece: bytes) -> None:
        """A piece of the body came."""
        self._pieces.append(piece)
        self.wants_body()

    def end(self) -> None:
        """The body is complete."""
        self._has_body = True
        self.wants_body()

    def lose(self, error: ProtocolError | None) -> None:
        """No more of it comes: for what the client did wrong, None where it has left."""
        if error is not None:
            self.refuse(error, monotonic_ns())
        elif not self._is_over:
            self._is_over = True
            self.request.abandon(monotonic_ns())
            self._call.exchange.status = self._call.exchange.status or 499
            self._call.fate, self._call.settled = BREAK, True  # and the flow goes on with that

    def room(self) -> None:
        """The client has taken something."""
        if not self._is_over:
            self.request.resume(monotonic_ns())

    def wants_body(self) -> None:
        request, stream, now = self.request, self._stream, monotonic_ns()
        while self._pieces and (request.wants_more or request.is_over):
            piece = self._pieces.popleft()
            request.body(piece, now)
            stream.link.consumed(stream.number, len(piece))
        if self._has_body and not self._pieces:
            request.end_body(now)

    # ---- what comes from the other server

    def inform(self, head: ResponseHead) -> bytes:
        self._stream.inform(head.headers)
        return b""

    def switch(self, head: ResponseHead) -> None:
        """Never: no such request is passed on."""
        self.break_off()

    def raw(self, data: bytes) -> None:
        self.break_off()

    def raw_end(self) -> None:
        self.break_off()

    def go_on(self, now: int) -> None:
        pass  # the link sends by itself, and tells by room()

    def give_up(self, now: int) -> None:
        self.lose(None)
        self._flow.handed_over(self._call, now)

    def finish(self, fate: Fate, now: int) -> None:
        if not self._is_over:
            self._is_over = True
            self._call.fate, self._call.settled = fate, True
            self._flow.handed_over(self._call, now)
