# Compression of answers (--compress): a filter.
#
# Rule: http/answers/compression.py decides. Here bodies are encoded: those of applications on their way, what
# the server has by itself at once. That is often the same file: what was made of it is kept for the next
# client.

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final

from bigtop.backends.native.codings.encoders import maker_of
from bigtop.http.answers.compression import Rules
from bigtop.http.handlers import Draft, Encoder, FilePart
from bigtop.http.messages import Request

KEPT: Final = 8 << 20  # bytes of encoded bodies, and of what they were made of, per worker

_Key = tuple[object, ...]


class Compression:
    """Encodes answers into one of `codings`, the best first; patterns of media `types`, `least` bytes."""

    __slots__ = ("_files", "_makers", "_rules")

    def __init__(self, codings: tuple[str, ...], types: tuple[str, ...], least: int) -> None:
        self._rules = Rules(codings, types, least)
        self._makers: dict[str, Callable[[], Encoder]] = {coding: maker_of(coding) for coding in codings}
        self._files = Encoded()

    def filter(self, request: Request, draft: Draft) -> None:
        coding = self._rules.apply(request, draft)
        if not coding:
            return
        make = self._makers[coding]
        if draft.parts is None:
            draft.encode(make())
            return
        body = self._files.of(coding, draft, make)
        draft.drop("content-length")
        draft.parts, draft.size = [body], len(body)


class Encoded:
    """Encoded bodies of answers that the server gives by itself. Any thread may ask."""

    __slots__ = ("_known", "_lock", "_size")

    def __init__(self) -> None:
        self._known: dict[_Key, bytes] = {}
        self._size = 0
        self._lock = threading.Lock()

    def of(self, coding: str, draft: Draft, make: Callable[[], Encoder]) -> bytes:
        """Return the encoded body of `draft`, made now or before."""
        parts = draft.parts or ()
        key = (coding, *[_identity(part) for part in parts])
        known = self._known.get(key)
        if known is None:
            known = make().finish(b"".join([_content(part) for part in parts]))
            self._keep(key, known)
        return known

    def _keep(self, key: _Key, body: bytes) -> None:
        with self._lock:
            if key not in self._known:
                self._known[key] = body
                self._size += _room(key, body)
            while self._size > KEPT:
                oldest = next(iter(self._known))
                self._size -= _room(oldest, self._known.pop(oldest))


def _identity(part: bytes | FilePart) -> object:
    """Return what tells a part from all others with other contents."""
    if isinstance(part, bytes):
        return part
    status = os.fstat(part.fd)
    return (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size, part.offset, part.count)


def _content(part: bytes | FilePart) -> bytes:
    return part if isinstance(part, bytes) else os.pread(part.fd, part.count, part.offset)


def _room(key: _Key, body: bytes) -> int:
    return len(body) + sum([len(part) for part in key if isinstance(part, bytes)])
