# One application twice, for WSGI and for ASGI, for clients that are in the middle of something when their
# worker is told to leave. Each answer says which one it is, so that half of one is noticed.

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

PIECES, SIZE = 40, 1000
# Seconds, so that the import can be met.
print("the application is imported", file=sys.stderr, flush=True)
time.sleep(float(os.environ.get("TEST_IMPORT", "0")))


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    path = environ["PATH_INFO"]
    if path == "/sleep":
        time.sleep(0.2)
    if path == "/stream":
        start_response("200 OK", [])
        return _stream()
    body = environ["wsgi.input"].read() or b"answered"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def _stream() -> Iterator[bytes]:
    for _ in range(PIECES):
        yield b"x" * SIZE
        time.sleep(0.005)


async def asgi(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": message["type"] + ".complete"})
        return
    path = scope["path"]
    if path == "/sleep":
        await asyncio.sleep(0.2)
    if path == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(PIECES):
            await send({"type": "http.response.body", "body": b"x" * SIZE, "more_body": True})
            await asyncio.sleep(0.005)
        await send({"type": "http.response.body", "body": b""})
        return
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    body = body or b"answered"
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
