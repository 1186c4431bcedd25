# A WSGI application that does what the path asks for, so that one process serves every synthetic scenario:
#
#   /sleep/MS    wait, as for a database          /bytes/N    answer N bytes
#   /spin/MS     compute, holding the GIL         /upload     read the body, answer its length
#   /pid/MS      wait, answer the process id      /stream/N    answer N bytes in pieces
#   anything else: hello
#
# Rule: amounts are capped, whatever the path says; a benchmark must not be able to hurt the machine.

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

MAX_MS = 10_000
MAX_BYTES = 16 * 1024 * 1024
PIECES = 16

_bodies: dict[int, bytes] = {}  # made once: allocating a megabyte per request would measure the allocator


def sleep(ms: int, _: dict[str, Any]) -> bytes:
    time.sleep(min(ms, MAX_MS) / 1000)
    return b"slept\n"


def spin(ms: int, _: dict[str, Any]) -> bytes:
    # CPU time, not wall time: on a busy core the work stays the same and takes longer, as real work does.
    until = time.thread_time() + min(ms, MAX_MS) / 1000
    while time.thread_time() < until:
        pass
    return b"spun\n"


def sized(count: int, _: dict[str, Any]) -> bytes:
    count = min(count, MAX_BYTES)
    if count not in _bodies:
        _bodies[count] = b"x" * count
    return _bodies[count]


def pid(ms: int, environ: dict[str, Any]) -> bytes:
    sleep(ms, environ)
    return b"%d\n" % os.getpid()


def upload(_: int, environ: dict[str, Any]) -> bytes:
    total, body = 0, environ["wsgi.input"]
    left = int(environ.get("CONTENT_LENGTH") or 0)
    while left and (chunk := body.read(min(left, 65536))):
        total += len(chunk)
        left -= len(chunk)
    return b"%d\n" % total


def pieces(count: int) -> Iterator[bytes]:
    """Give `count` bytes in PIECES parts, as an application does that does not know the length before."""
    piece = sized(count // PIECES, {})
    return (piece for _ in range(PIECES))


def hello(_: int, environ: dict[str, Any]) -> bytes:
    return b"Hello, world!\n"


ROUTES: dict[str, Callable[[int, dict[str, Any]], bytes]] = {
    "sleep": sleep,
    "spin": spin,
    "bytes": sized,
    "pid": pid,
    "upload": upload,
}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    name, _, amount = environ["PATH_INFO"].strip("/").partition("/")
    if name == "stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return pieces(int(amount))
    body = ROUTES.get(name, hello)(int(amount or 0), environ)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
