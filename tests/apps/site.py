# An application for tests of whole sites.

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from tests.apps import gate

Start = Callable[..., Any]
VERSION = os.environ.get("TEST_VERSION", "1")


def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    body = b"ok"
    if path in ACTIONS:
        ACTIONS[path]()
    elif path == "/id":
        body = f"{os.getuid()} {os.getgid()} {os.umask(0)} {os.getcwd()} {os.environ.get('COLOUR')}".encode()
    elif path == "/orphan":
        body = str(_orphan()).encode()
    elif path in ("/pid", "/until") or path.startswith(("/sleep/", "/held/")):
        _take_time(path, environ["QUERY_STRING"])
        body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


ACTIONS: dict[str, Callable[[], object]] = {
    "/crash": os.abort,
    "/exit": lambda: os._exit(7),
    "/halt": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "/hang": lambda: threading.Event().wait(),
    "/say": lambda: print("the application says so", file=sys.stderr, flush=True),
}


def _take_time(path: str, query: str) -> None:
    if path.startswith("/sleep/"):
        time.sleep(float(path.rpartition("/")[2]))
    elif path.startswith("/held/"):
        gate.wait(path.removeprefix("/held"))
    elif path == "/until":  # there is the file that the query names
        while not os.path.exists(query):
            time.sleep(0.01)


def _orphan() -> int:
    """Leave a process behind whose parent is gone."""
    read_end, write_end = os.pipe()
    middle = os.fork()
    if middle == 0:
        child = os.fork()
        if child == 0:
            os.setsid()
            os.close(read_end)
            os.close(write_end)
            time.sleep(600)
            os._exit(0)
        os.write(write_end, str(child).encode())
        os._exit(0)
    os.waitpid(middle, 0)
    os.close(write_end)
    pid = int(os.read(read_end, 32))
    os.close(read_end)
    return pid
