# Applications that hide their arguments; each answers what it speaks.

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any


async def _asgi(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    await _answer(scope, send, b"asgi")


async def _answer(scope: dict[str, Any], send: Callable[..., Any], body: bytes) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def asgi(*args: Any) -> Awaitable[None]:
    return _asgi(*args)


def defaults(scope: Any, receive: Any = None, send: Any = None) -> Awaitable[None]:
    return _asgi(scope, receive, send)


def asgi2(*args: Any) -> Callable[..., Awaitable[None]]:
    (scope,) = args

    async def answer(receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        await _answer(scope, send, b"asgi2")

    return answer


def wsgi(*args: Any) -> Iterable[bytes]:
    _environ, start_response = args
    start_response("200 OK", [])
    return [b"wsgi"]
