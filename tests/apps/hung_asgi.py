# An ASGI application for tests of time limits: it waits for ever, blocks its event loop, reads its deadline.

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise ValueError("there is no such protocol here")
    body = str(await _ACTIONS.get(scope["path"], _pid)(scope, send)).encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]}
    )
    await send({"type": "http.response.body", "body": body})


async def _pid(_scope: Scope, _send: Send) -> int:
    return os.getpid()


async def _wait(_scope: Scope, _send: Send) -> None:
    await asyncio.Event().wait()


async def _block(_scope: Scope, _send: Send) -> None:
    time.sleep(600)


async def _block_later(scope: Scope, send: Send) -> None:
    await asyncio.sleep(0.01)
    await _block(scope, send)


async def _compute(_scope: Scope, _send: Send) -> None:
    while True:
        pass


async def _child(scope: Scope, send: Send) -> None:
    await asyncio.gather(_block_later(scope, send))


async def _swallow(scope: Scope, send: Send) -> None:
    while True:
        with suppress(BaseException):
            await _wait(scope, send)


async def _stream(scope: Scope, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    await _wait(scope, send)


async def _extend(scope: Scope, _send: Send) -> str:
    """Take longer than the limit was, with more time from the application."""
    deadline = scope["extensions"]["bigtop.deadline"]
    before = deadline["remaining"]()
    after = deadline["extend"](60)
    await asyncio.sleep(before + 2.5)
    return f"{before:.0f} {after:.0f}"


async def _has_deadline(scope: Scope, _send: Send) -> bool:
    return "bigtop.deadline" in scope["extensions"]


_ACTIONS: dict[str, Callable[[Scope, Send], Awaitable[object]]] = {
    "/block": _block,
    "/block_later": _block_later,
    "/compute": _compute,
    "/child": _child,
    "/wait": _wait,
    "/reports/wait": _wait,
    "/reports/stream": _stream,
    "/reports/swallow": _swallow,
    "/reports/extend": _extend,
    "/reports/deadline": _has_deadline,
    "/deadline": _has_deadline,
}
