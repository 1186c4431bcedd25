# Answers without an end, which note how many of them run: /STATUS/FRAMING/PIECE, as WSGI and as ASGI.
#
# FRAMING is "length" (a Content-Length of 10) or "none"; PIECE is how many bytes each piece has.

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bigtop.backends.asgi.calls.mounted import combine
from bigtop.backends.serve_options import ServeOptions
from bigtop.loader import LoadedApp

PAUSE = 0.01  # seconds between two pieces
notes = {"begun": 0, "closed": 0}


def _told(path: str) -> tuple[int, list[tuple[str, str]], bytes] | None:
    """Return status, headers and piece; None for what is no endless answer."""
    parts = path.strip("/").split("/")
    if len(parts) != 3:
        return None
    headers = [("Content-Length", "10")] if parts[1] == "length" else []
    return int(parts[0]), headers, b"x" * int(parts[2])


def _pieces(piece: bytes) -> Iterator[bytes]:
    notes["begun"] += 1
    try:
        while True:
            yield piece
            time.sleep(PAUSE)
    finally:
        notes["closed"] += 1


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path.endswith("/write"):
        write = start_response("200 OK", [("Content-Length", "10")])
        notes["begun"] += 1
        try:
            while True:
                write(b"xxxxx")
                time.sleep(PAUSE)
        finally:
            notes["closed"] += 1
    told = _told(path)
    if told is None:
        start_response("200 OK", [])
        return [f"{notes['begun']} {notes['closed']}".encode()]
    status, headers, piece = told
    start_response(f"{status} Said", headers)
    return _pieces(piece)


async def asgi(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    path = scope["path"]
    if path.startswith("/listen"):  # an answer that waits for its client's end, and sends nothing meanwhile
        notes["begun"] += 1
        if path == "/listen/late":
            await asyncio.sleep(0.2)
        if path != "/listen/silent":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        notes["closed"] += 1
        return
    if path == "/hints":
        notes["begun"] += 1
        try:
            while True:
                await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"] * 100})
                await asyncio.sleep(0)
        finally:
            notes["closed"] += 1
    told = _told(path)
    if told is None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"{notes['begun']} {notes['closed']}".encode()})
        return
    status, headers, piece = told
    fields = [(name.encode(), value.encode()) for name, value in headers]
    notes["begun"] += 1
    try:
        await send({"type": "http.response.start", "status": status, "headers": fields})
        while True:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(PAUSE)
    finally:
        notes["closed"] += 1


async def _nothing(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    raise NotImplementedError


wsgi_mounted = combine(
    LoadedApp(wsgi, "wsgi", "a"), [("/below", LoadedApp(wsgi, "wsgi", "b"))], ServeOptions()
).app
# The application for WSGI answers in threads below one for ASGI.
wsgi_below_asgi = combine(
    LoadedApp(wsgi, "wsgi", "a"), [("/below", LoadedApp(_nothing, "asgi", "b"))], ServeOptions(threads=4)
).app
