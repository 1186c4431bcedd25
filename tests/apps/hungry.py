# An application that takes as much memory as there is.

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

kept_for_ever = []


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    kept = []
    while environ["PATH_INFO"] == "/grow":
        kept.append(bytearray(b"x") * (1 << 22))
    if environ["PATH_INFO"] == "/keep":
        kept_for_ever.append(bytearray(b"x") * (100 << 20))
    body = str(os.getpid()).encode() if environ["PATH_INFO"] == "/pid" else b"ok"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
