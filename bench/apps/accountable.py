# An application whose answers can be held to account: each says which request it is for, and which code and
# which process answered. For WSGI and for ASGI.
#
# Paths: /echo/ID, /upload/ID (POST), /large/ID, /stream/ID, /socket/ID (a WebSocket, with ASGI), /healthz.
# The first line of an answer is "ID VERSION PID"; what follows is made from ID alone.
#
# An `ailment` is what is wrong with a version: "unhealthy" fails /healthz, "failing" answers all else with
# 500, "slow" takes its time for it.

from __future__ import annotations

import asyncio
import os
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from typing import Any

LARGE_LINES = 20_000
PIECES, PIECE_SECONDS = 5, 0.02
SLOW_SECONDS = 2.0
CHUNK = 1 << 16
MOST = 1 << 20  # bytes of an upload

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def large(name: str) -> bytes:
    return f"{name}\n".encode() * LARGE_LINES


def pieces(name: str) -> list[bytes]:
    return [f"{name} {number}\n".encode() for number in range(PIECES)]


def digest(body: bytes) -> bytes:
    return b"%d %d\n" % (len(body), zlib.crc32(body))


class _Version:
    def __init__(self, version: str, ailment: str = "") -> None:
        self.version = version
        self.ailment = ailment

    def status(self, kind: str) -> int:
        if kind == "healthz":
            return 500 if self.ailment == "unhealthy" else 200
        return 500 if self.ailment == "failing" else 200

    def pause(self, kind: str) -> float:
        return SLOW_SECONDS if self.ailment == "slow" and kind != "healthz" else 0.0

    def begin(self, name: str) -> bytes:
        return f"{name} {self.version} {os.getpid()}\n".encode()

    def rest(self, kind: str, name: str, body: bytes) -> bytes:
        if kind == "upload":
            return digest(body)
        return large(name) if kind == "large" else b""


def _split(path: str) -> tuple[str, str]:
    kind, _, name = path.strip("/").partition("/")
    return kind, name


class Wsgi(_Version):
    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        kind, name = _split(environ["PATH_INFO"])
        body = environ["wsgi.input"].read(min(int(environ.get("CONTENT_LENGTH") or 0), MOST))
        time.sleep(self.pause(kind))
        status = f"{self.status(kind)} Told"
        if kind == "stream":
            start(status, [("Content-Type", "text/plain")])
            return self._stream(name)
        answer = self.begin(name) + self.rest(kind, name, body)
        start(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
        return [answer]

    def _stream(self, name: str) -> Iterator[bytes]:
        yield self.begin(name)
        for piece in pieces(name):
            time.sleep(PIECE_SECONDS)
            yield piece


class Asgi(_Version):
    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for _ in ("startup", "shutdown"):
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
            return
        kind, name = _split(scope["path"])
        if scope["type"] == "websocket":
            await self._talk(receive, send)
            return
        body = await _upload(receive)
        await asyncio.sleep(self.pause(kind))
        begin = {"type": "http.response.start", "status": self.status(kind)}
        headers = [(b"content-type", b"text/plain")]
        answer = self.begin(name) + self.rest(kind, name, body)
        if kind == "stream":
            await send({**begin, "headers": headers})
            for piece in pieces(name):
                await send({"type": "http.response.body", "body": answer, "more_body": True})
                await asyncio.sleep(PIECE_SECONDS)
                answer = piece
        else:
            await send({**begin, "headers": [*headers, (b"content-length", b"%d" % len(answer))]})
        await send({"type": "http.response.body", "body": answer})

    async def _talk(self, receive: Receive, send: Send) -> None:
        """Answer each message, which is a name, as a request for that would be."""
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            text = self.begin(message.get("text") or "").decode()
            await send({"type": "websocket.send", "text": text})


async def _upload(receive: Receive) -> bytes:
    body, more = b"", True
    while more and len(body) <= MOST:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body
