# The body of a request, collected before the application is called: a slow upload costs memory or disk, never
# an application slot, and wsgi.input can be sought.

from __future__ import annotations

import io
from time import monotonic_ns
from typing import IO

from bigtop.errors import ProtocolError
from bigtop.http.messages import Request
from bigtop.log import logger as get_logger

log = get_logger("bigtop.wsgi")


class Body:
    """Collects the body of `request` in memory; in a temporary file when it is more than `memory` bytes."""

    __slots__ = ("_directory", "_file", "_memory", "_spilled", "began", "request", "size")

    def __init__(self, memory: int, directory: str | None, request: Request) -> None:
        self.request = request
        self._memory = memory
        self._directory = directory
        self._file: IO[bytes] = io.BytesIO()
        self.began = monotonic_ns()
        self.size = 0
        self._spilled = False

    def add(self, piece: bytes) -> None:
        """Append `piece`; ProtocolError when the disk is full."""
        self.size += len(piece)
        try:
            if self.size > self._memory and not self._spilled:
                self._spill()
            self._file.write(piece)
        except OSError as error:
            log.error("cannot store the body of a request: %s", error)
            raise ProtocolError(507, "there is no room for the body") from error

    def finish(self) -> IO[bytes]:
        """Return the whole body as a file at its beginning; the caller closes it."""
        self._file.seek(0)
        return self._file

    def discard(self) -> None:
        self._file.close()

    def _spill(self) -> None:
        # Unlinked from the start: nothing is left behind, whatever happens.
        from tempfile import TemporaryFile  # here: most workers never need it

        file = TemporaryFile(dir=self._directory)  # noqa: SIM115 - it lives as long as the request
        with self._file as memory:
            memory.seek(0)
            file.write(memory.read())
        self._file = file
        self._spilled = True
