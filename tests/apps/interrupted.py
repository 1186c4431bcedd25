# An application whose every request is interrupted in the moment in which it is over, or about to be: it has
# a thread that does what the leader of the event loop does to requests past their time limit.

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Any

from bigtop.backends.wsgi.executors.thread_executor import _interrupt

LONGEST = 0.0004  # seconds

_calls: SimpleQueue[tuple[Any, int]] = SimpleQueue()
_started: list[int] = []


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if os.getpid() not in _started:
        _started.append(os.getpid())
        threading.Thread(target=_interrupting, daemon=True).start()
    body = f"{environ['PATH_INFO']} {os.getpid()}".encode()
    call = environ["wsgi.early_hints"].__self__.wire
    _calls.put((call, threading.get_ident()))
    _spin()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    if environ["QUERY_STRING"] == "pieces":
        return _pieces(body)
    return [body]


def _pieces(body: bytes) -> Iterable[bytes]:
    for byte in body:
        yield bytes([byte])


def _interrupting() -> None:
    while True:
        call, thread = _calls.get()
        _spin()
        try:
            _interrupt(call, thread)
        except BaseException as error:
            print(f"outside: {error!r}", file=sys.stderr, flush=True)
            raise


def _spin() -> None:
    until = time.perf_counter() + random.random() * LONGEST
    while time.perf_counter() < until:
        pass
