# Applications that share a socket: each says who it is and what reached it.

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def _told(name: str, path: str, root: str, client: str, body: bytes) -> bytes:
    told = {"app": name, "pid": os.getpid(), "path": path, "root": root, "client": client}
    return json.dumps({**told, "body": f"{len(body)} {hashlib.sha256(body).hexdigest()}"}).encode()


class Wsgi:
    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if "/slow" in path:
            time.sleep(float(environ["QUERY_STRING"]))
        client = f"{environ['REMOTE_ADDR']}:{environ['REMOTE_PORT']}"
        body = _told(self._name, path, environ["SCRIPT_NAME"], client, environ["wsgi.input"].read())
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]


class Asgi:
    def __init__(self, name: str) -> None:
        self._name = name

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            text = (await receive())["text"]
            await send({"type": "websocket.send", "text": f"{self._name} heard {text}"})
            await send({"type": "websocket.close"})
            return
        assert scope["type"] == "http"
        pieces: list[bytes] = []
        more = True
        while more:
            message = await receive()
            pieces.append(message.get("body", b""))
            more = message.get("more_body", False)
        client = ":".join(map(str, scope["client"]))
        if "/big" in scope["path"]:
            await send(
                {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4000000")]}
            )
            await send({"type": "http.response.body", "body": bytes(4_000_000)})
            return
        body = _told(self._name, scope["path"], scope["root_path"], client, b"".join(pieces))
        head = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})


web = Wsgi("web")
admin = Wsgi("admin")
api = Asgi("api")
chat = Asgi("chat")
