# Applications that tell, each in its own language, what they are shown of a request: the fields by the keys
# of WSGI, and where they are mounted. What a server adds or takes away for the language's sake is left out.

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from bigtop.backends.asgi.calls.wsgi_app import InThreads

_WORDS = (
    *("SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "RAW_URI", "REQUEST_METHOD", "wsgi.url_scheme"),
    *("REMOTE_ADDR", "REMOTE_PORT", "SERVER_PORT"),
)


def told(environ: dict[str, Any]) -> dict[str, str]:
    kept = {key: value for key, value in environ.items() if key.startswith("HTTP_") or key in _WORDS}
    kept |= {key: environ[key] for key in ("CONTENT_TYPE",) if key in environ}
    return kept


def told_of(scope: dict[str, Any]) -> dict[str, str]:
    made: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").upper().replace("-", "_")
        if name not in (b"content-type", b"content-length"):
            key = "HTTP_" + key
        text = value.decode("latin-1")
        joint = "; " if key == "HTTP_COOKIE" else ","
        made[key] = made[key] + joint + text if key in made else text
    made.pop("CONTENT_LENGTH", None)
    root = scope["root_path"]
    query = scope["query_string"].decode("latin-1")
    path = scope["raw_path"].decode("latin-1")
    return made | {
        "SCRIPT_NAME": root.encode().decode("latin-1"),
        "PATH_INFO": scope["path"].encode().decode("latin-1").removeprefix(root.encode().decode("latin-1")),
        "QUERY_STRING": query,
        "RAW_URI": f"{path}?{query}" if query else path,
        "REQUEST_METHOD": scope["method"],
        "wsgi.url_scheme": scope["scheme"],
        "REMOTE_ADDR": scope["client"][0] if scope["client"] else "",
        "REMOTE_PORT": str(scope["client"][1] or "") if scope["client"] else "",  # 0: not known
        "SERVER_PORT": str(scope["server"][1] or 80),
    }


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told(environ)).encode()]


async def asgi(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["type"] == "websocket":
        headers = [(b"x-scheme", scope["scheme"].encode())]
        await send({"type": "websocket.http.response.start", "status": 403, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b""})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(told_of(scope)).encode()})


class Mounted(InThreads):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await asgi(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


mounted = Mounted(wsgi, 1, 1 << 16, None)
