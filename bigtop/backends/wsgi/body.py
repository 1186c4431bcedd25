# The body of a request, collected before the application is called: a slow upload costs memory or disk, never
# an application slot, and wsgi.input can be sought.
#
# Pieces are kept as they lie until the body is whole: BytesIO shares the bytes that it is made of, so a body
# in one read of its own is not copied, and any other one once. A client that sends byte by byte makes objects
# that are larger than what they hold; such pieces are joined before they take more room than the body itself.

from __future__ import annotations

import io
from time import monotonic_ns
from typing import IO, Final

from bigtop.errors import ProtocolError
from bigtop.http.messages import Request
from bigtop.log import logger as get_logger

log = get_logger("bigtop.wsgi")

OVERHEAD: Final = 64  # bytes that a piece takes beyond what it holds
LEAST: Final = 4096  # bytes of such room that are not worth joining


class Body:
    """Collects the body of `request` in memory; in a temporary file when it is more than `memory` bytes."""

    __slots__ = ("_directory", "_file", "_memory", "_pieces", "began", "request", "size")

    def __init__(self, memory: int, directory: str | None, request: Request) -> None:
        self.request = request
        self._memory = memory
        self._directory = directory
        self._pieces: list[bytes | memoryview] = []
        self._file: IO[bytes] | None = None  # where they went when they were too many
        self.began = monotonic_ns()
        self.size = 0

    def add(self, piece: bytes | memoryview) -> None:
        """Append `piece`; ProtocolError when the disk is full."""
        self.size += len(piece)
        pieces = self._pieces
        try:
            if self._file is not None:
                self._file.write(piece)
                return
            pieces.append(piece)
            if self.size > self._memory:
                self._spill()
            elif len(pieces) * OVERHEAD > max(self.size, LEAST):
                self._pieces = [b"".join(pieces)]
        except OSError as error:
            log.error("cannot store the body of a request: %s", error)
            raise ProtocolError(507, "there is no room for the body") from error

    def finish(self) -> IO[bytes]:
        """Return the whole body as a file at its beginning; the caller closes it."""
        if self._file is None:
            return io.BytesIO(b"".join(self._pieces))
        self._file.seek(0)
        return self._file

    def discard(self) -> None:
        self._pieces.clear()
        if self._file is not None:
            self._file.close()

    def _spill(self) -> None:
        # Unlinked from the start: nothing is left behind, whatever happens.
        from tempfile import TemporaryFile  # here: most workers never need it

        file = TemporaryFile(dir=self._directory)  # noqa: SIM115 - it lives as long as the request
        self._file = file
        for piece in self._pieces:
            file.write(piece)
        self._pieces.clear()
