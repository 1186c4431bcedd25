# An answer of 2 KB that may be kept for an hour: what is measured is the cache in front of it.

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

BODY = [b"Some words, over and over. " * 75]
HEADERS = [
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Length", str(len(BODY[0]))),
    ("Cache-Control", "public, max-age=3600"),
]


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", HEADERS)
    return BODY
