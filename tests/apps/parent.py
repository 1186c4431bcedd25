# Applications that start a process of multiprocessing's, which is not daemonic, and answer with its number.

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, MutableMapping
from typing import Any

from tests.apps.ending import note

_forking = multiprocessing.get_context("fork")


def work(seconds: float) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note("begun")
    signal.sigtimedwait([], seconds)  # unlike sleep(), with gevent it lets no greenlet of the worker run
    note("finished")


def started(path: str) -> bytes:
    """Have `/SECONDS` become a process that works so long."""
    process = _forking.Process(target=work, args=(float(path[1:]),), name="export")
    process.start()
    return str(process.pid).encode()


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [])
    return [started(environ["PATH_INFO"])]


async def asgi(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": started(scope["path"])})
