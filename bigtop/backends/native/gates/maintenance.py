# Maintenance: while a file is there, nobody gets further (--maintenance-file).
#
# What is in the file is the page that clients are shown; an empty one stands for a line of text.

from __future__ import annotations

import os
from typing import Final

from bigtop.http.answers.static import media_type
from bigtop.http.clients.peer import BasePeer
from bigtop.http.handlers import Reply, refusal_of
from bigtop.http.messages import Request
from bigtop.log import logger as get_logger

log = get_logger("bigtop.backend")
FRESH: Final = 200_000_000  # nanoseconds between two looks
AGAIN: Final = "60"  # seconds until clients are to come again
LARGEST: Final = 1 << 20  # bytes of a page


class Maintenance:
    """Answers all requests with 503 while there is a file at `path`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._look_at = 0
        self._state: object = None
        self._reply: Reply | None = None

    def handle(self, request: Request, peer: BasePeer, now: int) -> Reply | None:
        if now >= self._look_at:
            self._look_at = now + FRESH
            self._look()
        return self._reply

    def _look(self) -> None:
        try:
            status = os.stat(self._path)
        except OSError:
            if self._reply is not None:
                log.info("%s is gone: requests are answered again", self._path)
            self._state = self._reply = None
            return
        state = status.st_ino, status.st_size, status.st_mtime_ns
        if state != self._state:
            if self._reply is None:
                log.warning("%s is there: all requests are answered 503", self._path)
            self._state = state
            self._reply = self._made()

    def _made(self) -> Reply:
        again = ("Retry-After", AGAIN), ("Cache-Control", "no-store")
        try:
            with open(self._path, "rb") as file:
                page = file.read(LARGEST)
        except OSError as error:  # it says what it says by being there
            log.error("%s cannot be read: %s", self._path, error.strerror)
            page = b""
        if not page:
            return refusal_of(503, "down for maintenance, back soon", *again, closes=False)
        kind = media_type(os.fsencode(os.path.basename(self._path)))
        return Reply("503 Service Unavailable", [("Content-Type", kind), *again], [page])
