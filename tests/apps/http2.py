# What tests of HTTP/2 ask for beside what the conformance application answers.

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tests.apps import conformance, gate

left = {"closed": 0}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/environ":
        known = {name: value for name, value in environ.items() if isinstance(value, str)}
        return _whole(start_response, json.dumps(known).encode())
    if path == "/hints":
        environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload; as=style")])
        return _whole(start_response, b"hinted")
    if path == "/short":
        start_response("200 OK", [("Content-Length", "10")])
        return [b"short"]
    if path == "/endless":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return _Endless(b"x" * 65536)
    if path.startswith("/silent/"):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return _Endless(b"", path.removeprefix("/silent"))
    if path == "/left":
        return _whole(start_response, json.dumps(left).encode())
    if path == "/count":
        count = 0
        while piece := environ["wsgi.input"].read1(65536):
            count += len(piece)
        return _whole(start_response, str(count).encode())
    if path == "/hangs":
        while True:
            time.sleep(0.01)
    if path == "/first":
        return _whole(start_response, environ["wsgi.input"].read1(10))
    return conformance.wsgi(environ, start_response)


def _whole(start_response: Callable[..., Any], body: bytes) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


class _Endless:
    def __init__(self, piece: bytes, path: str = "") -> None:
        self._piece = piece
        self._path = path

    def __iter__(self) -> Iterator[bytes]:
        yield b"begun"
        if self._path:
            gate.wait(self._path)
        while True:
            yield self._piece

    def close(self) -> None:
        left["closed"] += 1
