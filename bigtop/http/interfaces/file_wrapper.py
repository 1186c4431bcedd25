# File wrapper: what an application gets as wsgi.file_wrapper (PEP 3333).
#
# Rule: it is never compiled. It is the application's as soon as that has made one: it may derive from it, and
# hooks put a close() of their own on it.

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class FileWrapper:
    """An iterable over what a file holds, which a server may replace by sendfile(2)."""

    def __init__(self, filelike: Any, block_size: int = 65536) -> None:
        self.filelike = filelike
        self.block_size = block_size

    def __iter__(self) -> Iterator[bytes]:
        while block := self.filelike.read(self.block_size):
            yield block

    def close(self) -> None:
        """Close the file, if it can be closed."""
        close = getattr(self.filelike, "close", None)
        if close is not None:
            close()
