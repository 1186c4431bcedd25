"""Tells what the garbage collector finds that nobody else would have freed: /collect."""

from __future__ import annotations

import collections
import gc
from typing import Any

gc.disable()


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    body = _found() if environ["PATH_INFO"] == "/collect" else environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    message = await receive()
    if scope["type"] == "lifespan":
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = _found() if scope["path"] == "/collect" else message["body"]
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _found() -> bytes:
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    kinds = collections.Counter(f"{type(one).__module__}.{type(one).__name__}" for one in gc.garbage)
    gc.garbage.clear()
    gc.collect()  # what was only shown until now
    return "\n".join(sorted(name for name, count in kinds.items() if count >= 20)).encode()
