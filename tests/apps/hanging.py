# Applications that hang in the way that the path names, as real ones do.

from __future__ import annotations

import asyncio
import ctypes
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]

LOCK = threading.Lock()
LOCK.acquire()
# Beyond what a socket's buffers take.
LARGE = b"x" * (64 << 20)


def hang_sleep() -> None:
    time.sleep(100_000)


def hang_lock() -> None:
    LOCK.acquire()


def hang_c() -> None:
    """Wait for ever in C code, with the interpreter lock."""
    library, mutex = ctypes.PyDLL(None), ctypes.create_string_buffer(256)
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)


def hang_regex() -> None:
    re.match(r"(a+)+$", "a" * 64 + "b")


def hang_masked() -> None:
    """With all signals blocked in this thread."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    time.sleep(100_000)


def hang_receive() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as s,
    ):
        s.recv(1)


def hang_busy() -> None:
    while True:
        _spin()


def _spin() -> None:
    for _ in range(10_000):
        pass


HANGS: dict[str, Callable[[], None]] = {
    f"/{one.__name__.removeprefix('hang_')}": one
    for one in (hang_sleep, hang_lock, hang_c, hang_regex, hang_masked, hang_receive, hang_busy)
}


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    HANGS.get(path, lambda: None)()
    environ["wsgi.input"].read()
    if path == "/imported":
        found = sorted(name for name in sys.modules if name.startswith(("bigtop.workers", "bigtop.ipc.r")))
        start_response("200 OK", [])
        return [" ".join(found).encode()]
    if path == "/pieces":
        start_response("200 OK", [])
        return _pieces()
    body = LARGE if path == "/large" else b"ok"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def _pieces() -> Iterable[bytes]:
    yield b"12345"
    time.sleep(100_000)


async def asgi(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    path = scope["path"]
    if path == "/wait":
        await first_step()
    HANGS.get(path, lambda: None)()
    body = LARGE if path == "/large" else b"ok"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def first_step() -> None:
    await second_step()


async def second_step() -> None:
    await asyncio.Event().wait()
