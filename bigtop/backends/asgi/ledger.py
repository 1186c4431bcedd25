# What a worker tells about its requests: the scoreboard, the access log, the count towards retirement.
#
# Rule: a request that waits (for a database, for its client) is not stuck, however long it takes; one that
# blocks the event loop is, and all others with it. So while anything runs, the loop writes down every second
# that it still turns (Word.BEAT), and it is the age of that note which the supervisor looks at. An idle loop
# has nothing to prove and sleeps.

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from bigtop.backends.base import Life
from bigtop.clock import monotonic_ns
from bigtop.http.asgi import Answer
from bigtop.http.messages import Request
from bigtop.http.response import Stamps
from bigtop.http.scope import Peer
from bigtop.scoreboard import SHARED, Word

BEAT_SECONDS: Final = 1.0

# Plain numbers: an enum's member costs a look-up each time it is named.
BUSY: Final = int(Word.BUSY)
CONNECTIONS: Final = int(Word.CONNECTIONS)
ACCEPTED: Final = int(Word.ACCEPTED)
BEAT: Final = int(Word.BEAT)
REQUESTS: Final = int(Word.REQUESTS)
ERRORS: Final = int(Word.ERRORS)
CALL_NS: Final = int(Word.CALL_NS)
BYTES_IN: Final = int(Word.BYTES_IN)
BYTES_OUT: Final = int(Word.BYTES_OUT)


class Exchange:
    """A request and its answer, as books are kept of them."""

    __slots__ = ("answer", "bytes_out", "called", "peer", "record", "request")

    def __init__(self, request: Request, peer: Peer, stamps: Stamps) -> None:
        self.request = request
        self.peer = peer
        self.answer = Answer(request, stamps)
        self.called = monotonic_ns()  # when the application was
        self.record = SHARED  # its place on the scoreboard
        self.bytes_out = 0


class Ledger:
    """Books for one worker. `describe` makes the access line of a request, None where nothing is logged.

    What is only added up is kept here until post(), at the end of a turn of the loop; what tells that
    something runs is written at once, for it matters when the loop stands still.
    """

    __slots__ = (
        "_beating", "_bytes_out", "_call_ns", "_describe", "_life", "_loop", "_requests",
        "_slot", "_told", "_words", "busy", "bytes_in",
    )  # fmt: skip

    def __init__(
        self, life: Life, loop: asyncio.AbstractEventLoop, describe: Callable[[Exchange, int], str] | None
    ) -> None:
        self._life = life
        self._slot = life.slot
        self._words = life.slot.words
        self._loop = loop
        self._describe = describe
        self._beating = False
        self._requests = self.bytes_in = self._bytes_out = self._call_ns = 0
        self.busy = 0  # application calls that have not returned
        self._told = 0  # the same, as the slot says

    def post(self) -> None:
        """Write down what was added up since."""
        words = self._words
        if self._told != self.busy:
            words[BUSY] = self._told = self.busy
        words[BYTES_IN] += self.bytes_in
        words[BYTES_OUT] += self._bytes_out
        self.bytes_in = self._bytes_out = 0
        if self._requests:
            words[REQUESTS] += self._requests
            words[CALL_NS] += self._call_ns
            self._requests = self._call_ns = 0

    def connected(self, open_now: int) -> None:
        self._words[ACCEPTED] += 1
        self._words[CONNECTIONS] = open_now

    def disconnected(self, open_now: int) -> None:
        self._words[CONNECTIONS] = open_now

    def sent(self, size: int) -> None:
        """Bytes went out that belong to no answer."""
        self._bytes_out += size

    def _beat(self) -> None:
        self._words[BEAT] = monotonic_ns()
        self._beating = self.busy > 0
        if self._beating:
            self._loop.call_later(BEAT_SECONDS, self._beat)

    def called(self, call: Exchange) -> None:
        """The application is called. A post() must follow at the end of this turn of the loop."""
        now = call.called
        self.busy += 1
        if self._told < self.busy:  # otherwise a call before was of this turn, too
            self._words[BUSY] = self._told = self.busy
            self._words[BEAT] = now
        if not self._beating:
            self._beating = True
            self._loop.call_later(BEAT_SECONDS, self._beat)
        request = call.request
        call.record = self._slot.begin(now, request.method.encode(), call.peer.label, request.target)

    def left(self, *, at_once: bool = False) -> None:
        """The application has returned; `at_once`: in the turn in which it was called."""
        self.busy -= 1
        if not at_once:
            self._words[BUSY] = self._told = self.busy

    def writing(self, call: Exchange) -> None:
        self._slot.writing(call.record)

    def answered(self, call: Exchange) -> None:
        """The answer is out, or the client is gone."""
        status = call.answer.status
        now = monotonic_ns()
        self._slot.end(call.record, call.called, now, status)
        self._requests += 1
        self._bytes_out += call.bytes_out
        self._call_ns += now - call.called
        if status >= 500:
            self._words[ERRORS] += 1
        if self._describe is not None:
            self._life.access(self._describe(call, now))
        self._life.finished()
