# Exchange with an upstream: one request on its way there, and the answer on its way back, without I/O.
#
# Rule 1: a request is sent a second time only where nothing of an answer came, all that was sent of it is
# still here, and its method is one that may be repeated (RFC 9110, 9.2.2). Any other goes over a connection
# of its own from the start, since one that was used before may be closed by the upstream at that very moment.
# As long as no connection is open nothing was sent, and whatever it is may be tried at the next address.
# Rule 2: it is sent twice at most, and a second time only if the first connection had been used before: an
# upstream that breaks on a request would break again.
# Rule 3: what an upstream did wrong is a 502 to the client as long as the head of the answer is not out; then
# the connection breaks off, so that half an answer never looks like a whole one.

from __future__ import annotations

from enum import Enum
from typing import Final

from bigtop.http.messages import Request
from bigtop.http.upstream.request_head import IDEMPOTENT
from bigtop.http.upstream.response_reader import OVER, SWITCHED, ResponseEvent, ResponseHead, ResponseReader

MOST_HELD: Final = 65536  # bytes of a body that are kept for a second try


class Loss(Enum):
    """What follows on the loss of a connection to the upstream."""

    RETRY = 1  # ask again, over a new connection
    ANSWER = 2  # tell the client
    BREAK = 3  # the client has a part of the answer: end that connection, too


class UpstreamExchange:
    """One request with that head, and its answer."""

    __slots__ = (
        "_head",
        "_held",
        "_held_size",
        "_is_open",
        "_reader",
        "_request",
        "_tries",
        "has_head",
        "is_sent",
    )

    def __init__(self, request: Request, head: bytes) -> None:
        self._request = request
        self._head = head
        self._held: list[bytes] | None = []  # of the body, for another try; None: not any more
        self._held_size = 0
        self._reader = ResponseReader(request.method, request.upgrade)
        self._tries = 0  # connections that were open
        self._is_open = False
        self.is_sent = request.ended  # all of the request is there to be sent
        self.has_head = False  # of the final answer, which was given out

    @property
    def is_repeatable(self) -> bool:
        """Whether it may go over a connection that was used before."""
        return self._request.method in IDEMPOTENT and self._request.upgrade is None

    @property
    def is_over(self) -> bool:
        return self._reader.phase is OVER

    @property
    def is_switched(self) -> bool:
        return self._reader.phase is SWITCHED

    @property
    def is_reusable(self) -> bool:
        """Whether the connection may be used again: the answer is complete, and the request was."""
        return self.is_over and self._reader.keeps and self.is_sent

    # ---- to the upstream

    def begin(self) -> bytes:
        """Return what a connection is sent first, which may not be open yet."""
        self._is_open = False
        self._reader = ResponseReader(self._request.method, self._request.upgrade)
        return b"".join([self._head, *(self._held or ())])

    def opened(self) -> None:
        """The connection is open: what it was given is sent."""
        self._is_open = True
        self._tries += 1
        if self._held_size > MOST_HELD or not self.is_repeatable:
            self._held = None

    def body(self, piece: bytes) -> bytes:
        """Return what is sent for a piece of the body, which is not empty."""
        return self._keep(b"%x\r\n%b\r\n" % (len(piece), piece) if self._request.chunked else piece)

    def end_body(self) -> bytes:
        """Return what is sent for the end of the body."""
        self.is_sent = True
        return self._keep(b"0\r\n\r\n") if self._request.chunked else b""

    def _keep(self, data: bytes) -> bytes:
        held = self._held
        if held is not None:
            self._held_size += len(data)
            # All of it as long as there is no connection to send it over.
            if self._is_open and self._held_size > MOST_HELD:
                self._held = None
            else:
                held.append(data)
        return data

    @property
    def waits(self) -> bool:
        """Whether as much of the body is kept as is read before there is a connection."""
        return not self._is_open and self._held_size > MOST_HELD

    # ---- from the upstream

    def feed(self, data: bytes) -> list[ResponseEvent]:
        """Return what `data` brings. ProtocolError: it is no answer of HTTP."""
        return self._taken(self._reader.feed(data))

    def end(self) -> list[ResponseEvent]:
        """Return what the upstream's end of the connection brings. ProtocolError: its answer is not whole."""
        return self._taken(self._reader.end())

    def _taken(self, events: list[ResponseEvent]) -> list[ResponseEvent]:
        for event in events:
            if isinstance(event, ResponseHead) and (event.code >= 200 or event.code == 101):
                self.has_head = True
                self._held = None
        return events

    def take_rest(self) -> bytes:
        """Return what came behind a switch to another protocol."""
        return self._reader.take_rest()

    # ---- the end

    def lost(self, was_used: bool) -> Loss:
        """Tell what follows on the loss of the connection, which `was_used` for another request before."""
        if self.has_head:
            return Loss.BREAK
        again = was_used and self._tries < 2 and self._held is not None
        if again and self.is_repeatable and not self._reader.has_begun:
            return Loss.RETRY
        return Loss.ANSWER
