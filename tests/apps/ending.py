# Applications that write down how they end: in the lines of the file that $TEST_NOTES names.

from __future__ import annotations

import asyncio
import atexit
import ctypes
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]


def note(text: str) -> None:
    fd = os.open(os.environ.get("TEST_NOTES", os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(fd, text.encode() + b"\n")
    os.close(fd)


atexit.register(lambda: note("exit handler"))


def hang() -> None:
    """Wait in C code, which begins anew after each signal and lets other threads run."""
    library = ctypes.CDLL(None)
    mask = (ctypes.c_ulong * 16)(*[2**64 - 1] * 16)
    library.pthread_sigmask(0, mask, None)  # SIG_BLOCK
    library.pause()


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    path = environ["PATH_INFO"]
    if path == "/pid":
        start_response("200 OK", [])
        return [str(os.getpid()).encode()]
    if path == "/stream":
        start_response("200 OK", [])
        return stream()
    note("begun")
    try:
        if path == "/sleep":
            time.sleep(60)
        elif path == "/wait":
            threading.Event().wait(60)
        elif path == "/turn":
            while True:
                time.sleep(0.02)
        elif path == "/spin":
            while True:
                pass
        elif path == "/hang":
            hang()
    finally:
        note("finally")
    start_response("200 OK", [])
    return [b"done"]


def stream() -> Iterator[bytes]:
    note("begun")
    try:
        while True:
            yield b"tick\n"
            time.sleep(0.02)
    finally:
        note("finally")


async def asgi(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.sleep(0.05)
        note("shutdown")
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        note("begun")
        try:
            await asyncio.sleep(60)
        finally:
            note("finally")
        return
    path = scope["path"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if path == "/pid":
        await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
        return
    note("begun")
    try:
        if path == "/thread":
            await asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)
        elif path == "/block":
            time.sleep(60)
        elif path == "/await":
            await asyncio.sleep(60)
        while True:
            await send({"type": "http.response.body", "body": b"tick\n", "more_body": True})
            await asyncio.sleep(0.02)
    finally:
        note("finally")


def deaf(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    """Answer; the handlers of signals, as Python calls them, do nothing."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, lambda _number, _frame: None)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def made_deaf() -> Any:
    """Take from the C level whom it tells of signals, as asyncio.run() does when it ends."""
    signal.set_wakeup_fd(-1)
    return deaf


def forked(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    """Fork a child, end it by TERM, answer with the status of that."""
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    os.kill(pid, signal.SIGTERM)
    status = os.waitpid(pid, 0)[1]
    start_response("200 OK", [])
    return [str(os.waitstatus_to_exitcode(status)).encode()]


async def lifespan(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Fail as $TEST_LIFESPAN says."""
    if scope["type"] != "lifespan":
        await asgi(scope, receive, send)
        return
    how = os.environ["TEST_LIFESPAN"]
    if how == "unknown":
        raise RuntimeError("what is a lifespan?")
    await receive()
    if how == "raises":
        raise RuntimeError("db down")
    if how == "exits":
        raise SystemExit(7)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    if how == "raises at the end":
        raise RuntimeError("cannot flush")
    if how == "exits at the end":
        raise SystemExit(7)
    await send({"type": "lifespan.shutdown.complete"})
    if how == "raises after the end":
        raise RuntimeError("cannot close")


class ClientDisconnect(Exception):  # noqa: N818
    """As Starlette's."""


async def leaving(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Wait until the client leaves, and end as /returns, /raises or /groups says; /begun-... in the middle of
    an answer."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        note("begun")
        await receive()
        note("left")
        raise type("WebSocketDisconnect", (Exception,), {})
    if scope["type"] == "http":
        await receive()
        if "begun" in scope["path"]:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"tick", "more_body": True})
        note("begun")
        await receive()
        note("left")
        if "raises" in scope["path"]:
            raise ClientDisconnect
        if "groups" in scope["path"]:  # as what left a task group
            raise ExceptionGroup("tasks failed", [ExceptionGroup("inner", [ClientDisconnect()])])


def piping(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    """Write until the client leaves; what comes then is wrapped by /wrapped."""
    write = start_response("200 OK", [])
    try:
        while True:
            write(b"x" * 65536)
            note("begun")
    except Exception as error:
        note("left")
        if environ["PATH_INFO"] == "/wrapped":
            raise RuntimeError("cannot write") from error
        raise
