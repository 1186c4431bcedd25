# The body of a request, collected before the application is called: a slow upload costs memory or disk, never
# an application slot, and wsgi.input can be sought.

from __future__ import annotations

import io
import tempfile
from time import monotonic_ns
from typing import IO

from bigtop.http.messages import Request


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
        """Append `piece`; OSError when the disk is full."""
        self.size += len(piece)
        if self.size > self._memory and not self._spilled:
            self._spill()
        self._file.write(piece)

    def finish(self) -> IO[bytes]:
        """Return the whole body as a file at its beginning; the caller closes it."""
        self._file.seek(0)
        return self._file

    def discard(self) -> None:
        self._file.close()

    def _spill(self) -> None:
        # Unlinked from the start : nothing is left behind, whatever happens.
        file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115 - it lives as long as the request
        with self._file as memory:
            memory.seek(0)
            file.write(memory.read())
        self._file = file
        self._spilled = True
