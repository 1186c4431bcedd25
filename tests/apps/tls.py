# Two applications that tell what they know of the encryption.

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    wanted = ("SSL_", "HTTPS", "wsgi.url_scheme")
    body = json.dumps({name: environ[name] for name in environ if name.startswith(wanted)}).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    if scope["type"] == "lifespan":
        return
    told = {"scheme": scope["scheme"], "tls": scope["extensions"].get("tls")}
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": json.dumps(told)})
        await send({"type": "websocket.close"})
        return
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})
