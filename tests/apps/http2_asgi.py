# What tests of HTTP/2 ask of the ASGI server, beside what the conformance application answers.

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from typing import Any, Final

from tests.apps import conformance, gate

left: dict[str, int] = {"closed": 0}
Receive = Callable[..., Any]
Send = Callable[..., Any]
Scope = dict[str, Any]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    path = scope.get("path", "")
    if scope["type"] == "websocket":
        await _websocket(scope, receive, send)
    elif path in VIEWS:
        await VIEWS[path](scope, receive, send)
    elif path.startswith("/file/"):
        await _begin(send)
        await send({"type": "http.response.pathsend", "path": path.removeprefix("/file")})
    else:
        await conformance.asgi(scope, receive, send)


async def shown(scope: Scope, receive: Receive, send: Send) -> None:
    found = {key: scope[key] for key in ("http_version", "method", "path", "scheme")}
    found["headers"] = [[name.decode(), value.decode()] for name, value in scope["headers"]]
    found["extensions"] = sorted(scope["extensions"])
    await _answer(send, json.dumps(found).encode())


async def hints(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload; as=style"]})
    await _answer(send, b"hinted")


async def short(scope: Scope, receive: Receive, send: Send) -> None:
    await _begin(send, [(b"content-length", b"10")])
    await send({"type": "http.response.body", "body": b"short"})


async def trailers(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
    await send({"type": "http.response.body", "body": b"body"})
    for number in (b"1", b"2"):
        fields = [(b"x-sum", number)]
        await send({"type": "http.response.trailers", "headers": fields, "more_trailers": number == b"1"})


async def late(scope: Scope, receive: Receive, send: Send) -> None:
    await _begin(send)
    await send({"type": "http.response.body", "body": b"", "more_body": True})
    await gate.awaited(scope["query_string"].decode())
    await send({"type": "http.response.body", "body": b"late"})


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    await _begin(send)
    try:
        while True:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
    finally:
        left["closed"] += 1


async def count(scope: Scope, receive: Receive, send: Send) -> None:
    size = 0
    while (message := await receive()).get("more_body"):
        size += len(message["body"])
    await _answer(send, str(size + len(message["body"])).encode())


async def taken(scope: Scope, receive: Receive, send: Send) -> None:
    before, _, behind = scope["query_string"].decode().partition("&")
    await gate.awaited(before)
    while (await receive()).get("more_body"):
        pass
    await gate.awaited(behind)
    await _answer(send, b"taken")


async def cancelled(scope: Scope, receive: Receive, send: Send) -> None:
    """Begin to send the first of two files, and the other one in its place once that is closed."""
    first, _, second = scope["query_string"].decode().partition("&")
    await _begin(send)
    message = {"type": "http.response.pathsend", "path": first}
    sending = asyncio.ensure_future(send(message))
    await asyncio.sleep(0)
    sending.cancel()
    await asyncio.wait([sending])
    left["second"] = os.open(second, os.O_RDONLY)


async def hangs(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.Event().wait()


async def told(scope: Scope, receive: Receive, send: Send) -> None:
    await _answer(send, json.dumps(left).encode())


VIEWS: Final = {
    "/scope": shown,
    "/hints": hints,
    "/short": short,
    "/trailers": trailers,
    "/late": late,
    "/endless": endless,
    "/count": count,
    "/taken": taken,
    "/cancelled": cancelled,
    "/hangs": hangs,
    "/left": told,
}


async def _begin(send: Send, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": headers or []})


async def _answer(send: Send, body: bytes) -> None:
    await _begin(send, [(b"content-length", str(len(body)).encode())])
    await send({"type": "http.response.body", "body": body})


async def _websocket(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    await receive()
    if scope["path"] == "/denied":
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"who are you?"})
        return
    if scope["path"] == "/closed":
        await send({"type": "websocket.close"})
        return
    protocols = scope["subprotocols"]
    await send({"type": "websocket.accept", "subprotocol": protocols[0] if protocols else None})
    await send({"type": "websocket.send", "text": f"{scope['http_version']} {scope['scheme']}"})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "bye":
            await send({"type": "websocket.close", "code": 1001, "reason": "bye"})
            return
        await send({"type": "websocket.send", "bytes": message.get("bytes"), "text": message.get("text")})
    left["closed"] += 1
    left["code"] = message["code"]
