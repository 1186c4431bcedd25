# The work of work.py for ASGI servers: the same paths, the same answers, the same limits.

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from bench.apps import work

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PLAIN = [(b"content-type", b"text/plain")]


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        for _ in ("startup", "shutdown"):
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
        return
    name, _, amount = scope["path"].strip("/").partition("/")
    number = int(amount or 0)
    if name == "stream":
        await _stream(number, send)
        return
    if name in ("sleep", "pid"):
        await asyncio.sleep(min(number, work.MAX_MS) / 1000)
        number = 0
    if name == "upload":
        body = b"%d\n" % await _upload(receive)
    else:
        body = work.ROUTES.get(name, work.hello)(number, {})
    headers = [*PLAIN, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _upload(receive: Receive) -> int:
    total, more = 0, True
    while more:
        message = await receive()
        total += len(message.get("body", b""))
        more = message.get("more_body", False)
    return total


async def _stream(count: int, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": PLAIN})
    for piece in work.pieces(count):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
