# The application of tests of HTTP/2, which tells by which worker each answer is, and may end that.

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tests.apps import gate, http2


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]

    def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        return start_response(status, [*headers, ("X-Pid", str(os.getpid()))], *more)

    if path.startswith("/begun/"):
        start("200 OK", [])
        return _held(path.removeprefix("/begun"))
    return http2.app(environ, start)


def _held(path: str) -> Iterator[bytes]:
    yield b"begun"
    gate.wait(path)
    yield b"ended"
