# An application for much data: it takes uploads of any size and sends streams that never were in memory.

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs

Start = Callable[..., Any]
PIECE = 1 << 16


def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    body: Iterable[bytes] = [b"ok"]
    if path == "/upload":
        body = [_digest(environ["wsgi.input"]).encode()]
    elif path == "/stream":
        body = _stream(int(parse_qs(environ["QUERY_STRING"])["size"][0]))
    start_response("200 OK", [])
    return body


def _digest(file: Any) -> str:
    size = 0
    digest = hashlib.blake2b(digest_size=8)
    while piece := file.read(1 << 20):
        size += len(piece)
        digest.update(piece[:64])
    return f"{size} {digest.hexdigest()}"


def _stream(size: int) -> Iterator[bytes]:
    for at in range(0, size, PIECE):
        yield at.to_bytes(8, "big") * (PIECE // 8)
