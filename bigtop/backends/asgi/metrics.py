# Metrics of a worker with the native ASGI server; event loop only.
#
# Rule: a request that waits (for a database, for its client) is not stuck, however long it takes; one that
# blocks the event loop is, and all others with it. So while anything runs, the loop writes down that it still
# turns (Word.BEAT), every second or more often, and it is the age of that note which the supervisor looks at.
# An idle loop has nothing to prove and sleeps.

from __future__ import annotations

import asyncio
from typing import Final

from bigtop.backends.base import Life
from bigtop.backends.native.access_log import AccessLog
from bigtop.backends.native.framework_routes import Reader
from bigtop.backends.native.metrics import BUSY, INTERRUPTED, Metrics
from bigtop.http.access_log.access_format import AccessRecord
from bigtop.http.interfaces.asgi import Answer
from bigtop.http.interfaces.scope import Peer, Scope, shown_of
from bigtop.http.messages import Request
from bigtop.http.requestid import KEY
from bigtop.http.response import Stamps
from bigtop.ipc.scoreboard import NOWHERE, SHARED, RequestPhase, Word, beat_seconds
from bigtop.system.clock import monotonic_ns

BEAT: Final = int(Word.BEAT)


# Where a call is. Plain numbers: an enum's member costs a look-up each time it is named.
OUTSIDE: Final = 0
INSIDE: Final = 1  # of the application, which may be interrupted
OVERDUE: Final = 2  # it was past its time limit, and is interrupted


class MeteredCall:
    """A request and its answer, as metrics count them, whatever the application speaks of it."""

    __slots__ = (
        "answer",
        "bytes_out",
        "called",
        "peer",
        "record",
        "request",
        "request_id",
        "shown",
        "stage",
        "told",
    )  # fmt: skip

    def __init__(self, request: Request, peer: Peer, stamps: Stamps) -> None:
        self.request = request
        self.peer = peer
        self.shown = shown = shown_of(request, peer.policy)
        self.request_id = shown.request_id or peer.ids.new_bytes()
        self.answer = Answer(request, stamps)
        self.called = monotonic_ns()  # when the application was
        self.record = SHARED  # its place on the scoreboard
        self.bytes_out = 0
        self.told: Scope | None = None  # its scope, where the framework leaves its route pattern there
        self.stage = OUTSIDE  # of the application

    def name(self) -> str:
        """Return how logs name the request."""
        return f"{self.request.method} {self.request.target.decode('latin-1')}"

    def is_held_back(self) -> bool:
        """Whether it waits for its client."""
        return False


class AsgiMetrics(Metrics):
    """Metrics of calls in an event loop. A post() must follow at the end of each turn of the loop."""

    __slots__ = ("_beat_seconds", "_is_beating", "_loop", "arriving")

    def __init__(
        self,
        life: Life,
        access_log: AccessLog | None,
        route_of: Reader | None,
        loop: asyncio.AbstractEventLoop,
        timeout: float,
    ) -> None:
        super().__init__(life, access_log, route_of)
        self._loop = loop
        self._beat_seconds = beat_seconds(timeout)
        self._is_beating = False
        self.arriving: dict[object, int] = {}  # places on the scoreboard of heads that come in pieces

    def _beat(self) -> None:
        self._words[BEAT] = monotonic_ns()
        self._is_beating = self.busy > 0
        if self._is_beating:
            self._loop.call_later(self._beat_seconds, self._beat)

    def called(self, call: MeteredCall) -> None:
        """The application is called."""
        now = call.called
        self.busy += 1
        if self._posted_busy < self.busy:  # otherwise a call before was of this turn, too
            self._words[BUSY] = self._posted_busy = self.busy
            self._words[BEAT] = now
        if not self._is_beating:
            self._is_beating = True
            self._loop.call_later(self._beat_seconds, self._beat)
        request = call.request
        method = request.method.encode()
        call.record = self._slot.begin(now, method, call.peer.label, request.target, call.request_id)

    def returned(self) -> None:
        """The application has returned, in a later turn than that in which it was called."""
        self.busy -= 1
        self._words[BUSY] = self._posted_busy = self.busy

    def interrupted(self) -> None:
        """A call was past its time limit and has come to its end."""
        self._words[INTERRUPTED] += 1

    def held_up(self, call: MeteredCall) -> None:
        """Its client reads slowly: see writing()."""
        self.writing(call.record)
        self.moved(call.record, call.bytes_out)

    def arrives(self, connection: object, now: int, client: bytes) -> None:
        """The head of a request comes in pieces."""
        if connection not in self.arriving:
            place = self._slot.arrive(RequestPhase.READING, now, b"", client, b"")
            if place != NOWHERE:
                self.arriving[connection] = place

    def arrived(self, connection: object) -> None:
        """It is complete, if one was on its way, or will never be."""
        if connection in self.arriving:
            self._slot.leave(self.arriving.pop(connection))

    def answered(self, call: MeteredCall) -> None:
        """The answer is out, or the client is gone."""
        now = monotonic_ns()
        self.bytes_out += call.bytes_out
        if call.told is not None:
            self.count_route(call.record, call.told, now - call.called, call.answer.status)
        self.count(call.record, call.called, now, call.answer.status, call.bytes_out)
        if self.access_log is not None:
            self.access_log.add(_access(call, now))
        finished = self.finished
        if finished is not None:
            finished()


def _access(call: MeteredCall, ended: int) -> AccessRecord:
    answer = call.answer
    return AccessRecord(
        request=call.request,
        status=answer.status,
        headers=answer.headers,
        sent=answer.framing.sent if answer.framing is not None else 0,
        address=call.peer.origin(call.request.headers).address,
        received=call.called,
        called=call.called,
        ended=ended,
        environ={KEY: call.request_id.decode("latin-1")},
        session=call.peer.session,
    )
