# Metrics of one worker: what it tells of its requests on the scoreboard, in the access log, and to whoever
# counts them towards its retirement. The servers extend it: backends/wsgi, backends/asgi and the adapters.
#
# Rule 1: every word of the slot has one writer at a time, which each server sees to in its own way.
# Rule 2: what is only added up is kept here and copied to the slot by post(), since to read a word of it
# costs as much as to write one. What tells that something runs is written at once, for it matters when the
# worker hangs; that nothing runs any more can wait.

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bigtop.backends.base import Life
from bigtop.backends.native.access_log import AccessLog
from bigtop.backends.native.framework_routes import Reader, Told
from bigtop.http.access_log.access_format import AccessRecord
from bigtop.http.clients.peer import BasePeer
from bigtop.http.messages import Request
from bigtop.ipc.scoreboard import Word
from bigtop.ipc.seats import Seat
from bigtop.system.clock import monotonic_ns

# Plain numbers: an enum's member costs a look-up each time it is named.
BUSY: Final = int(Word.BUSY)
CONNECTIONS: Final = int(Seat.CONNECTIONS)
ACCEPTED: Final = int(Word.ACCEPTED)
REQUESTS: Final = int(Word.REQUESTS)
ERRORS: Final = int(Word.ERRORS)
CALL_NS: Final = int(Word.CALL_NS)
QUEUE_NS: Final = int(Word.QUEUE_NS)
BYTES_IN: Final = int(Word.BYTES_IN)
BYTES_OUT: Final = int(Word.BYTES_OUT)
LATENCY_NS: Final = int(Word.LATENCY_NS)
INTERRUPTED: Final = int(Word.INTERRUPTED)
STATUS_1XX: Final = int(Word.STATUS_1XX)
STATUS_3XX: Final = int(Word.STATUS_3XX)
STATUS_4XX: Final = int(Word.STATUS_4XX)


class Metrics:
    """What all servers count. Times are monotonic nanoseconds; no requests are logged where `access_log` is
    None, and none counted by route pattern where `route_of` is None."""

    __slots__ = (
        "_posted_busy", "_posted_requests", "_requests", "_slot", "_words",
        "access_log", "busy", "bytes_in", "bytes_out", "call_ns", "finished", "queue_ns", "route_of",
    )  # fmt: skip

    def __init__(self, life: Life, access_log: AccessLog | None, route_of: Reader | None) -> None:
        self._slot = life.slot
        self._words = life.slot.words
        self.access_log = access_log
        self.route_of = route_of
        self.finished: Callable[[], None] | None = life.finished
        self.busy = self._posted_busy = 0  # application calls that run; the same, as the slot says
        self._requests = self._posted_requests = 0  # those that were answered
        self.bytes_in = self.bytes_out = 0
        self.call_ns = self.queue_ns = 0  # in the application, and before it; of servers that tell them apart

    def post(self) -> None:
        """Write down what was added up."""
        words = self._words
        if self._posted_busy != self.busy:
            words[BUSY] = self._posted_busy = self.busy
        if self.bytes_in:  # of servers that see it
            words[BYTES_IN] = self.bytes_in
        words[BYTES_OUT] = self.bytes_out
        if self._posted_requests != self._requests:
            words[REQUESTS] = self._posted_requests = self._requests
            words[LATENCY_NS] = self._slot.latency_ns
            if self.queue_ns:
                words[CALL_NS] = self.call_ns
                words[QUEUE_NS] = self.queue_ns

    def connected(self, open_now: int) -> None:
        self._words[ACCEPTED] += 1
        self._slot.seat[CONNECTIONS] = open_now

    def disconnected(self, open_now: int) -> None:
        self._slot.seat[CONNECTIONS] = open_now

    def writing(self, record: int) -> None:
        """The application is done with, or held back by, a client that reads slowly: --timeout is no concern
        of the rest."""
        self._slot.writing(record)

    def moved(self, record: int, sent: int) -> None:
        """So much of an answer under way is out."""
        self._slot.moved(record, sent)

    def refused(self, request: Request, status: int, answer: bytes, peer: BasePeer, began: int) -> None:
        """The server gave an error of its own to what was no request, or came too slowly or one too many; it
        `began` to come then, 0 where nobody knows. It was shown to no application, and is counted nowhere."""
        if self.access_log is not None:
            now = monotonic_ns()
            self.access_log.add(
                AccessRecord(
                    request=request,
                    status=status,
                    headers=[],
                    sent=len(answer.partition(b"\r\n\r\n")[2]),
                    address=peer.origin(request.headers).address,
                    received=began or now,
                    called=now,
                    ended=now,
                    session=peer.session,
                )
            )

    def count_route(self, record: int, told: Told, took: int, status: int) -> None:
        """What the framework says of an answer that is about to be counted; `told` is what the application
        was called with."""
        if self.route_of is not None and (pattern := self.route_of(told)):
            self._slot.route(record, pattern, took, status)

    def count(self, record: int, called: int, now: int, status: int, sent: int) -> None:
        """The answer of a call is out, or its client is gone, with so many bytes sent."""
        self._slot.end(record, called, now, status, sent)
        self._requests += 1
        if status >= 300:
            self._words[ERRORS if status >= 500 else STATUS_4XX if status >= 400 else STATUS_3XX] += 1
        elif status < 200:
            self._words[STATUS_1XX] += 1
