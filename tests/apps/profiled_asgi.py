# As profiled.py, for ASGI.

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tests.apps.profiled import seen


async def app(
    scope: dict[str, Any], _receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]
) -> None:
    if scope["type"] != "http":
        raise RuntimeError("no lifespan here")
    body = seen(scope["path"])
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
