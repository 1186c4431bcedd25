# Answers of all kinds, by their path, as WSGI and as ASGI: what is compressed, and what must not be.

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

PAGE = b"".join(
    b"<li><a href='/admin/app/model/%d/change/'>Object number %d</a></li>\n" % (n, n) for n in range(800)
)
HTML = ("Content-Type", "text/html; charset=utf-8")
GO = threading.Event()


class Made(NamedTuple):
    status: str
    headers: list[tuple[str, str]]
    pieces: list[bytes]


def made(*headers: tuple[str, str], status: str = "200 OK", body: bytes = PAGE, cuts: int = 1) -> Made:
    length = -(-len(body) // cuts)
    pieces = [body[at : at + length] for at in range(0, len(body), length)] if body else []
    return Made(status, list(headers), pieces)


def typed(content_type: str, body: bytes = PAGE) -> Made:
    return made(("Content-Type", content_type), body=body)


LENGTH = ("Content-Length", str(len(PAGE)))
RANGE = ("Content-Range", f"bytes 0-{len(PAGE) - 1}/{len(PAGE)}")
ANSWERS = {
    "/html": made(HTML, LENGTH),
    "/unmeasured": made(HTML),
    "/json": typed("application/json"),
    "/problem": typed("application/problem+json"),
    "/svg": typed("image/svg+xml"),
    "/js": typed("Text/JavaScript"),
    "/png": typed("image/png"),
    "/font": typed("font/woff2"),
    "/bytes": typed("application/octet-stream"),
    "/untyped": made(),
    "/small": made(("Content-Type", "text/plain"), ("Content-Length", "859"), body=b"x" * 859),
    "/enough": typed("text/plain", b"x" * 860),
    "/empty": typed("text/plain", b""),
    "/pieces": made(HTML, cuts=40),
    "/measured": made(HTML, LENGTH, cuts=40),
    "/strong": made(HTML, LENGTH, ("ETag", '"v1"'), ("Accept-Ranges", "bytes")),
    "/weak": made(HTML, LENGTH, ("ETag", 'W/"v1"')),
    "/cookie": made(HTML, LENGTH, ("Vary", "Cookie"), ("Set-Cookie", "a=1")),
    "/varies": made(HTML, LENGTH, ("Vary", "accept-encoding")),
    "/star": made(HTML, LENGTH, ("Vary", "*")),
    "/fixed": made(HTML, LENGTH, ("Cache-Control", "public, no-transform")),
    "/encoded": made(HTML, LENGTH, ("Content-Encoding", "br")),
    "/digest": made(HTML, LENGTH, ("Repr-Digest", "sha-256=:AAAA:")),
    "/part": made(HTML, RANGE, LENGTH, status="206 Partial Content"),
    "/known": made(("ETag", '"v1"'), status="304 Not Modified", body=b""),
    "/nothing": made(status="204 No Content", body=b""),
    "/missing": made(HTML, LENGTH, status="404 Not Found"),
    "/forbidden": made(HTML, LENGTH, status="403 Forbidden"),
    "/broken": made(HTML, LENGTH, status="500 Internal Server Error"),
    "/short": made(HTML, ("Content-Length", str(len(PAGE) + 10)), cuts=2),
    "/long": made(HTML, ("Content-Length", str(len(PAGE) - 10)), cuts=2),
    "/odd": made(HTML, ("Content-Length", str(len(PAGE) + 10))),
    "/accel": made(HTML, ("X-Accel-Charset", "koi8-r"), ("X-Accel-Buffering", "no")),
    "/large": typed("text/plain", PAGE * 40),
}  # fmt: skip
EVENTS = [("Content-Type", "text/event-stream"), ("Cache-Control", "no-store")]


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/events":
        GO.clear()
        start_response("200 OK", EVENTS.copy())
        return events()
    if path == "/go":
        GO.set()
        path = "/nothing"
    if path == "/endless":
        start_response("200 OK", ANSWERS["/html"].headers.copy())
        return itertools.repeat(PAGE)
    answer = ANSWERS[path]
    start_response(answer.status, answer.headers.copy())
    return answer.pieces if len(answer.pieces) < 2 else iter(answer.pieces)


def events() -> Iterable[bytes]:
    yield b"data: first\n\n"
    if GO.wait(30):
        yield b"data: second\n\n"


async def asgi(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    if scope["type"] != "http":
        return
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    if path == "/events":
        GO.clear()
        await send({"type": "http.response.start", "status": 200, "headers": raw(EVENTS)})
        await send({"type": "http.response.body", "body": b"data: first\n\n", "more_body": True})
        while not GO.is_set():
            await asyncio.sleep(0.01)
        await send({"type": "http.response.body", "body": b"data: second\n\n"})
        return
    if path == "/go":
        GO.set()
        path = "/nothing"
    if path == "/endless":
        await send({"type": "http.response.start", "status": 200, "headers": raw(ANSWERS["/html"].headers)})
        while True:
            await send({"type": "http.response.body", "body": PAGE, "more_body": True})
    answer = ANSWERS[path]
    code = int(answer.status[:3])
    await send({"type": "http.response.start", "status": code, "headers": raw(answer.headers)})
    for piece in answer.pieces if len(answer.pieces) > 1 else ():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    last = answer.pieces[0] if len(answer.pieces) == 1 else b""
    await send({"type": "http.response.body", "body": last})


def raw(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers]
