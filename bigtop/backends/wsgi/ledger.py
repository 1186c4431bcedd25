# What a worker tells about its requests: the scoreboard, the access log, the count towards retirement.
#
# Rule: leader only, so that every word of the slot has one writer at a time.

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns
from typing import Final

from bigtop.backends.base import Life
from bigtop.backends.wsgi.call import Call
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
    """Books for one worker. `describe` makes the access line of a request, None where nothing is logged."""

    __slots__ = ("_describe", "_life", "_slot", "words")

    def __init__(self, life: Life, describe: Callable[[Call, int], str] | None) -> None:
        self._life = life
        self._slot = life.slot
        self.words = life.slot.words
        self._describe = describe

    def connected(self, open_now: int) -> None:
        self.words[ACCEPTED] += 1
        self.words[CONNECTIONS] = open_now

    def disconnected(self, open_now: int) -> None:
        self.words[CONNECTIONS] = open_now

    def waiting(self, count: int) -> None:
        self.words[WAITING] = count

    def called(self, call: Call) -> None:
        """The application is called next (or once more, to close its response)."""
        words = self.words
        words[BUSY] += 1
        if call.called:
            return
        call.called = now = monotonic_ns()
        words[QUEUE_NS] += now - call.readable
        request = call.request
        label = call.connection.peer.label
        call.record = self._slot.begin(now, request.method.encode(), label, request.target)

    def returned(self, call: Call) -> None:
        """The application is done, its answer may still be on the way."""
        words = self.words
        words[BUSY] -= 1
        if not call.settled:
            words[CALL_NS] += monotonic_ns() - call.called

    def writing(self, call: Call) -> None:
        self._slot.writing(call.record)

    def answered(self, call: Call) -> int:
        """The answer is out, or the client is gone. Returns the time, in monotonic nanoseconds."""
        words = self.words
        status = call.exchange.status
        now = monotonic_ns()
        self._slot.end(call.record, now, status)
        words[REQUESTS] += 1
        words[BYTES_OUT] += call.bytes_out
        if status >= 500:
            words[ERRORS] += 1
        if self._describe is not None:
            self._life.access(self._describe(call, now))
        self._life.finished()
        return now
