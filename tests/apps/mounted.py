# Applications to be mounted beside each other: what each was told about its place, and what it answers.

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    length = [("Content-Length", str(len(str(os.getpid()))))] if environ["PATH_INFO"] == "/pid" else []
    start_response("200 OK", [("Content-Type", "application/json"), *length])
    try:
        asyncio.get_running_loop()
        loop = True
    except RuntimeError:
        loop = False
    told = {
        "speaks": "wsgi",
        "root": environ["SCRIPT_NAME"],
        "path": environ["PATH_INFO"],
        "query": environ["QUERY_STRING"],
        "body": len(environ["wsgi.input"].read()),
        "client": environ["REMOTE_ADDR"],
        "field": environ.get("HTTP_X_FIELD", ""),
        "main": threading.current_thread() is threading.main_thread(),
        "loop": loop,
    }
    yield str(os.getpid()).encode() if told["path"] == "/pid" else json.dumps(told).encode()


def wsgi_broken(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    raise RuntimeError("no answer today")


def wsgi_stream(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [])
    for _ in range(64):
        yield b"x" * 65536


async def asgi(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    if scope["type"] == "lifespan":
        for _ in ("startup", "shutdown"):
            kind = (await receive())["type"]
            scope["state"]["lived"] = kind
            await send({"type": f"{kind}.complete"})
        return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": scope["root_path"]})
        await send({"type": "websocket.close"})
        return
    told = {
        "speaks": "asgi",
        "root": scope["root_path"],
        "path": scope["path"],
        "lived": scope["state"].get("lived"),
    }
    text = str(os.getpid()) if scope["path"].endswith("/pid") else json.dumps(told)
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": text.encode()})


async def asgi_fails(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "the cache is away"})
