# An application for tests of time limits: it hangs in Python, in C, in a greenlet, and reads its deadline.

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from tests.apps import gate

Start = Callable[..., Any]


def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path.startswith("/stream"):
        start_response("200 OK", [])
        return _stream()
    body = str(_ACTIONS.get(path, lambda _environ: os.getpid())(environ)).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def _stream() -> Iterator[bytes]:
    yield b"begun"
    _spin({})


def _spin(_environ: dict[str, Any]) -> None:
    while True:
        time.sleep(0.001)


def _compute(_environ: dict[str, Any]) -> None:
    while True:
        pass


def _swallow(environ: dict[str, Any]) -> None:
    while True:
        with suppress(BaseException):
            _spin(environ)


def _wait(_environ: dict[str, Any]) -> None:
    threading.Event().wait()


def _extend(environ: dict[str, Any]) -> str:
    """Take longer than the limit was, with more time from the application."""
    deadline = environ["bigtop.deadline"]
    before = deadline.remaining()
    after = deadline.extend(60)
    time.sleep(before + 2.5)
    return f"{before:.0f} {after:.0f}"


def _hold(environ: dict[str, Any]) -> int:
    gate.wait(environ["PATH_INFO"].removeprefix("/held"))
    return os.getpid()


_ACTIONS: dict[str, Callable[[dict[str, Any]], object]] = {
    "/spin": _spin,
    "/reports/spin": _spin,
    "/compute": _compute,
    "/swallow": _swallow,
    "/wait": _wait,
    "/extend": _extend,
    "/sleep": lambda _environ: time.sleep(600),
    "/deadline": lambda environ: "bigtop.deadline" in environ,
}
