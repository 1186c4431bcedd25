# One application twice, for WSGI and for ASGI: what the conformance suite asks of every backend.

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from tests.apps import gate

PIECE = b"x" * 1000
calls = {"now": 0, "most": 0, "closed": 0}
_lock = threading.Lock()

# path -> status, headers, body; what is the same whatever the request is
FIXED: dict[str, tuple[int, list[tuple[str, str]], bytes]] = {
    "/hello": (200, [("Content-Length", "6")], b"hello\n"),
    "/no-length": (200, [], b"hello\n"),
    "/empty": (204, [], b""),
    "/unchanged": (304, [("ETag", '"1"')], b""),
    "/teapot": (418, [("Content-Length", "3")], b"pot"),
    "/cookies": (200, [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Content-Length", "0")], b""),
    "/big": (200, [("Content-Length", str(4 << 20))], b"b" * (4 << 20)),
}
REASONS = {200: "OK", 204: "No Content", 304: "Not Modified", 404: "Not Found", 418: "I'm a teapot"}


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    status, headers, body = 200, [], b""
    if path in FIXED:
        status, headers, body = FIXED[path]
    elif path == "/echo":
        body = _read(environ)
    elif path.startswith("/see"):
        body = json.dumps(
            {
                "method": environ["REQUEST_METHOD"],
                "path": path.encode("latin-1").decode(),
                "query": environ.get("QUERY_STRING", ""),
                "client": environ.get("REMOTE_ADDR"),
                "host": environ.get("HTTP_HOST"),
                "x": environ.get("HTTP_X_TEST"),
                "scheme": environ["wsgi.url_scheme"],
            }
        ).encode()
    elif path == "/pid":
        body = str(os.getpid()).encode()
    elif path == "/calls":
        body = json.dumps(calls).encode()
    elif path.startswith(("/sleep/", "/held/")):
        with _counted():
            _last(path)
        body = b"slept"
    elif path == "/broken":
        raise RuntimeError("this view is broken")
    elif path in ("/stream", "/half") or path.startswith("/trickle/"):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return _Closing(_pieces(path))
    else:
        status = 404
    if body and not headers and path != "/no-length":
        headers = [("Content-Length", str(len(body)))]
    start_response(f"{status} {REASONS[status]}", list(headers))
    return [body] if body and environ["REQUEST_METHOD"] != "HEAD" else []


def _last(path: str) -> None:
    if path.startswith("/held/"):
        gate.wait(path.removeprefix("/held"))
    else:
        time.sleep(float(path.rpartition("/")[2]))


def _read(environ: dict[str, Any]) -> bytes:
    source = environ["wsgi.input"]
    if length := environ.get("CONTENT_LENGTH"):
        return bytes(source.read(int(length)))
    pieces = []
    if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "") or environ.get("wsgi.input_terminated"):
        while piece := source.read(1000):
            pieces.append(piece)
    return b"".join(pieces)


def _pieces(path: str) -> Iterator[bytes]:
    for n in range(50):
        if path == "/half" and n == 25:
            raise RuntimeError("failed in the middle")
        if path.startswith("/trickle/") and n == 1:
            gate.wait(path.removeprefix("/trickle"))
        yield PIECE


class _Closing:
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        calls["closed"] += 1


class _counted:  # noqa: N801 - reads as a word
    def __enter__(self) -> None:
        with _lock:
            calls["now"] += 1
            calls["most"] = max(calls["most"], calls["now"])

    def __exit__(self, *_: object) -> None:
        with _lock:
            calls["now"] -= 1


async def asgi(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": message["type"] + ".complete"})
        return
    path = scope["path"]
    status, headers, body = 200, [], b""
    if path in FIXED:
        status, headers, body = FIXED[path]
    elif path == "/echo":
        body = b"".join([piece async for piece in _received(receive)])
    elif path.startswith("/see"):
        fields = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = json.dumps(
            {
                "method": scope["method"],
                "path": path,
                "query": scope["query_string"].decode(),
                "client": scope["client"][0] if scope["client"] else None,
                "host": fields.get("host"),
                "x": fields.get("x-test"),
                "scheme": scope["scheme"],
            }
        ).encode()
    elif path == "/pid":
        body = str(os.getpid()).encode()
    elif path == "/calls":
        body = json.dumps(calls).encode()
    elif path.startswith(("/sleep/", "/held/")):
        with _counted():
            await _lasts(path)
        body = b"slept"
    elif path == "/broken":
        raise RuntimeError("this view is broken")
    elif path in ("/stream", "/half") or path.startswith("/trickle/"):
        await _stream(path, send)
        return
    else:
        status = 404
    if body and not headers and path != "/no-length":
        headers = [("Content-Length", str(len(body)))]
    coded = [(name.lower().encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": coded})
    await send({"type": "http.response.body", "body": body})


async def _lasts(path: str) -> None:
    if path.startswith("/held/"):
        await gate.awaited(path.removeprefix("/held"))
    else:
        await asyncio.sleep(float(path.rpartition("/")[2]))


async def _received(receive: Callable[..., Any]) -> AsyncIterator[bytes]:
    while (message := await receive())["type"] == "http.request":
        yield message.get("body", b"")
        if not message.get("more_body"):
            return


async def _stream(path: str, send: Callable[..., Any]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    try:
        for n in range(50):
            if path == "/half" and n == 25:
                raise RuntimeError("failed in the middle")
            if path.startswith("/trickle/") and n == 1:
                await gate.awaited(path.removeprefix("/trickle"))
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        calls["closed"] += 1
