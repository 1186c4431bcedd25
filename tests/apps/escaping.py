# Views that raise what is no Exception: /WHERE/WHAT, as WSGI and as ASGI. /slow takes a while, /held/GATE as
# long as a test wants.

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bigtop.backends.asgi.calls.mounted import combine
from bigtop.backends.serve_options import ServeOptions
from bigtop.loader import LoadedApp
from tests.apps import gate


class Own(BaseException):
    """An application's own."""


ERRORS: dict[str, type[BaseException]] = {
    "SystemExit": SystemExit,
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "CancelledError": asyncio.CancelledError,
    "StopIteration": StopIteration,
    "Own": Own,
}


def fail(name: str) -> None:
    raise ERRORS[name]("from the view")


class Response:
    def __init__(self, where: str, name: str) -> None:
        self._where = where
        self._name = name

    def __iter__(self) -> Iterator[bytes]:
        yield b"begun"
        if self._where == "iterate":
            fail(self._name)

    def close(self) -> None:
        if self._where == "close":
            fail(self._name)


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    where, _, name = environ["PATH_INFO"].strip("/").partition("/")
    if where == "call":
        fail(name)
    if where == "fork" and os.fork() == 0:
        sys.exit(3)
    if where == "slow":
        time.sleep(0.1)
    if where == "held":
        gate.wait(f"/{name}")
        name = ""
    if where == "read":
        environ["wsgi.input"].read()
        fail(name)
    write = start_response("200 OK", [])
    if where == "write":
        write(b"begun")
        fail(name)
    if where == "fork":
        return [str(os.waitstatus_to_exitcode(os.wait()[1])).encode()]
    return Response(where, name) if name else [b"here"]


async def asgi(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    if scope["type"] == "lifespan":
        raise NotImplementedError
    where, _, name = scope["path"].strip("/").partition("/")
    if scope["type"] == "websocket":
        if where == "open":
            await receive()
            await send({"type": "websocket.accept"})
        fail(name)
    if where == "call":
        fail(name)
    if where == "child":  # as in a task group, or below a middleware that has tasks
        await asyncio.create_task(_fail_later(name))
    if where == "orphan":
        _orphans.append(asyncio.create_task(_fail_later(name)))
    if where == "callback":
        asyncio.get_running_loop().call_soon(fail, name)
    if where == "fork" and os.fork() == 0:
        sys.exit(3)
    if where in ("slow", "held"):
        await (gate.awaited(f"/{name}") if name else asyncio.sleep(0.1))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if where == "iterate":
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        fail(name)
    body = str(os.waitstatus_to_exitcode(os.wait()[1])).encode() if where == "fork" else b"here"
    await send({"type": "http.response.body", "body": body})
    if where == "background":
        fail(name)


_orphans: list[asyncio.Task[None]] = []


async def _fail_later(name: str) -> None:
    await asyncio.sleep(0)
    fail(name)


async def _nothing(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    raise NotImplementedError


wsgi_below_asgi = combine(
    LoadedApp(wsgi, "wsgi", "a"), [("/below", LoadedApp(_nothing, "asgi", "b"))], ServeOptions(threads=4)
).app
