# What a worker with somebody else's server tells of its requests: scoreboard, access log, the count towards
# retirement. meter.py and asgimeter.py make the entries.
#
# Rule 1: an entry may come from any thread. Words of the slot have one writer at a time: a lock sees to that;
# it is held for a few stores and never while anybody waits, so greenlets may share it too.
# Rule 2: totals are kept here and copied to the slot: to read a word of it costs as much as to write one.

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any, Final

from bigtop.backends.base import Life, ServeOptions
from bigtop.clock import monotonic_ns
from bigtop.http.accesslog import Access, Formatter, compile_format, compile_json
from bigtop.http.messages import Request
from bigtop.scoreboard import Word

# Plain numbers: an enum's member costs a look-up each time it is named.
BUSY: Final = int(Word.BUSY)
REQUESTS: Final = int(Word.REQUESTS)
ERRORS: Final = int(Word.ERRORS)
BYTES_OUT: Final = int(Word.BYTES_OUT)
CALL_NS: Final = int(Word.CALL_NS)


class Entry:
    """One request. Whoever makes it gives it to Books.end() exactly once."""

    __slots__ = ("began", "headers", "record", "sent", "status")

    def __init__(self) -> None:
        self.began = 0
        self.record = 0
        self.status = 500  # what servers answer when the application says nothing
        self.headers: Sequence[tuple[str, str]] = ()
        self.sent = 0


class Books:
    """All requests of a worker."""

    __slots__ = (
        "_bytes_out", "_call_ns", "_errors", "_format", "_life", "_lock", "_requests", "_slot", "_words",
        "logs", "open",
    )  # fmt: skip

    def __init__(self, life: Life, options: ServeOptions) -> None:
        self.open = 0  # requests that the server is not done with
        self._life = life
        self._slot = life.slot
        self._words = life.slot.words
        self._lock = Lock()
        self._requests = self._errors = self._bytes_out = self._call_ns = 0
        self._format = _formatter(options)
        self.logs = self._format is not None  # whether somebody wants log() to be called

    def begin(self, entry: Entry, method: str, client: str, path: bytes) -> None:
        entry.began = now = monotonic_ns()
        with self._lock:
            self.open += 1
            self._words[BUSY] = self.open
        entry.record = self._slot.begin(now, method.encode(), client.encode(), path)

    def writing(self, entry: Entry) -> None:
        """The application has begun to answer: --timeout is no concern of the rest."""
        self._slot.writing(entry.record)

    def end(self, entry: Entry) -> int:
        """The answer is out, or given up; returns when that was."""
        now = monotonic_ns()
        words = self._words
        with self._lock:
            self._slot.end(entry.record, entry.began, now, entry.status)
            self.open -= 1
            self._requests += 1
            self._call_ns += now - entry.began
            words[BUSY] = self.open
            words[REQUESTS] = self._requests
            words[CALL_NS] = self._call_ns
            if entry.sent:
                self._bytes_out += entry.sent
                words[BYTES_OUT] = self._bytes_out
            if entry.status >= 500:
                self._errors += 1
                words[ERRORS] = self._errors
        self._life.finished()
        return now

    def log(
        self, entry: Entry, request: Request, client: str, ended: int, environ: Mapping[str, Any]
    ) -> None:
        """Write the access line; only where `logs` says so."""
        if self._format is None:
            return
        access = Access(
            request=request,
            status=entry.status,
            headers=list(entry.headers),
            sent=entry.sent,
            address=client,
            received=entry.began,  # when the first byte came, only the server knows
            called=entry.began,
            ended=ended,
            when=time.time(),
            pid=os.getpid(),
            environ=environ,
        )
        self._life.access(self._format(access))


def _formatter(options: ServeOptions) -> Formatter | None:
    if options.access_json:
        return compile_json()
    return compile_format(options.access_format) if options.access_format else None
