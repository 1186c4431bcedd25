# Applications that answer with what they can call of the server's: module, name and annotations of each
# function in what they were given, and in what that returns.

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable
from typing import Any

from tests.apps import shown


def told(values: Iterable[Any]) -> bytes:
    """Describe what is Bigtop's own of these values: functions, and the methods of objects and classes."""
    found = {}
    for value in values:
        functions = [value] if inspect.isroutine(value) else []
        kind = value if isinstance(value, type) else type(value)
        if not functions and kind.__module__.startswith("bigtop."):
            functions = [
                function
                for name, function in inspect.getmembers(kind, inspect.isroutine)
                if not name.startswith("_") or name in ("__init__", "__call__")
            ]
        for function in functions:
            plain = inspect.unwrap(getattr(function, "__func__", function))
            if str(getattr(plain, "__module__", "")).startswith("bigtop."):
                key = plain.__module__, plain.__qualname__
                found[key] = [*key, {k: str(v) for k, v in plain.__annotations__.items()}]
    return json.dumps(list(found.values())).encode()


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    write = start_response("200 OK", [])
    return [told([*environ.values(), start_response, write])]


async def asgi(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    if scope["type"] == "lifespan":
        await shown.asgi(scope, receive, send)
        return
    kind = "websocket.http" if scope["type"] == "websocket" else "http"
    await send({"type": f"{kind}.response.start", "status": 200, "headers": []})
    await send({"type": f"{kind}.response.body", "body": told([*scope.values(), receive, send])})
