# What a worker with somebody else's server tells of its requests: scoreboard, access log, the count towards
# retirement. meter.py and asgimeter.py make the entries.
#
# Rule: an entry may come from any thread. Words of the slot have one writer at a time, which a lock sees to;
# it is held for a few stores and never while anybody waits, so greenlets may share it too.

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from threading import Lock
from time import monotonic_ns
from typing import Any

from bigtop.backends.base import Life, ServeOptions
from bigtop.http.accesslog import Access, Formatter, compile_format, compile_json
from bigtop.http.messages import Request
from bigtop.scoreboard import Word

# Plain numbers: an enum's member costs a look-up each time it is named.
BUSY, REQUESTS, ERRORS = int(Word.BUSY), int(Word.REQUESTS), int(Word.ERRORS)
BYTES_OUT, CALL_NS = int(Word.BYTES_OUT), int(Word.CALL_NS)


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

    __slots__ = ("_format", "_life", "_lock", "_slot", "_words", "logs", "open")

    def __init__(self, life: Life, options: ServeOptions) -> None:
        self.open = 0  # requests that the server is not done with
        self._life = life
        self._slot = life.slot
        self._words = life.slot.words
        self._lock = Lock()
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
            words[BUSY] = self.open
            words[REQUESTS] += 1
            words[CALL_NS] += now - entry.began
            words[BYTES_OUT] += entry.sent
            if entry.status >= 500:
                words[ERRORS] += 1
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
