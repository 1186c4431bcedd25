# The least a WSGI application can do: what is measured here is the server.

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

BODY = [b"Hello, world!\n"]
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", "14")]


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", HEADERS)
    return BODY
