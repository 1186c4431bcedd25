# What a worker tells about its requests: the scoreboard, the access log, the count towards retirement.
#
# Rule: leader only, so that every word of the slot has one writer at a time.

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bigtop.backends.base import Life
from bigtop.backends.wsgi.call import Call
from bigtop.clock import monotonic_ns
from bigtop.scoreboard import Word

# Plain numbers: an enum's member costs a look-up each time it is named.
BUSY: Final = int(Word.BUSY)
CONNECTIONS: Final = int(Word.CONNECTIONS)
ACCEPTED: Final = int(Word.ACCEPTED)
WAITING: Final = int(Word.WAITING)
REQUESTS: Final = int(Word.REQUESTS)
ERRORS: Final = int(Word.ERRORS)
CALL_NS: Final = int(Word.CALL_NS)
QUEUE_NS: Final = int(Word.QUEUE_NS)
BYTES_IN: Final = int(Word.BYTES_IN)
BYTES_OUT: Final = int(Word.BYTES_OUT)


class Ledger:
    """Books for one worker. `describe` makes the access line of a request, None where nothing is logged.

    What is only added up is kept here until post(), before each wait for events; what tells that something
    runs is written at once, for it matters when the worker hangs; that nothing runs any more can wait.
    """

    __slots__ = (
        "_busy", "_bytes_out", "_call_ns", "_describe", "_errors", "_life", "_queue_ns", "_requests",
        "_slot", "_told", "_words", "bytes_in",
    )  # fmt: skip

    def __init__(self, life: Life, describe: Callable[[Call, int], str] | None) -> None:
        self._life = life
        self._slot = life.slot
        self._words = life.slot.words
        self._describe = describe
        self.bytes_in = self._bytes_out = 0
        self._told = 0  # calls that run, as the slot says
        self._busy = self._requests = self._errors = self._call_ns = self._queue_ns = 0

    def post(self) -> None:
        """Write down what was added up since."""
        words = self._words
        if self._told != self._busy:
            words[BUSY] = self._told = self._busy
        if self.bytes_in:
            words[BYTES_IN] += self.bytes_in
            self.bytes_in = 0
        if self._queue_ns:
            words[QUEUE_NS] += self._queue_ns
            self._queue_ns = 0
        if self._requests:
            words[REQUESTS] += self._requests
            words[BYTES_OUT] += self._bytes_out
            words[CALL_NS] += self._call_ns
            self._requests = self._bytes_out = self._call_ns = 0
        if self._errors:
            words[ERRORS] += self._errors
            self._errors = 0

    def connected(self, open_now: int) -> None:
        self._words[ACCEPTED] += 1
        self._words[CONNECTIONS] = open_now

    def disconnected(self, open_now: int) -> None:
        self._words[CONNECTIONS] = open_now

    def waiting(self, count: int) -> None:
        self._words[WAITING] = count

    def called(self, call: Call) -> None:
        """The application is called next (or once more, to close its response)."""
        self._busy += 1
        if self._told < self._busy:  # otherwise the call before was of this turn, too
            self._words[BUSY] = self._told = self._busy
        if not call.called:
            call.called = now = monotonic_ns()
            self._queue_ns += now - call.readable

    def returned(self, call: Call) -> int:
        """The application is done, its answer may still be on the way. Returns when that was."""
        self._busy -= 1
        now = monotonic_ns()
        if not call.settled:
            self._call_ns += now - call.called
        return now

    def writing(self, call: Call) -> None:
        self._slot.writing(call.record)

    def answered(self, call: Call, now: int) -> None:
        """The answer is out, or the client is gone."""
        status = call.exchange.status
        self._slot.end(call.record, call.called, now, status)
        self._requests += 1
        self._bytes_out += call.bytes_out
        if status >= 500:
            self._errors += 1
        if self._describe is not None:
            self._life.access(self._describe(call, now))
        self._life.finished()
