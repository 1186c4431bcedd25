# Tells which modules its worker has imported, for WSGI and for ASGI.

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

# Those that came with this module alone are not the worker's.
OWN = {__name__, "tests", "tests.apps"}


def _body() -> bytes:
    return "\n".join(sorted(set(sys.modules) - OWN)).encode()


def wsgi(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = _body()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope: dict[str, Any], _receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": _body()})
