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
    if path == "/pid":
        body = str(os.getpid()).encode()
    elif path.startswith("/sleep/"):
        time.sleep(float(path.rpartition("/")[2]))
        body = str(os.getpid()).encode()
    elif path.startswith("/held/"):
        gate.wait(path.removeprefix("/held"))
        body = str(os.getpid()).encode()
    elif path == "/crash":
        os.abort()
    elif path == "/exit":
        os._exit(7)
    elif path == "/halt":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif path == "/hang":
        threading.Event().wait()
    elif path == "/say":
        print("the application says so", file=sys.stderr, flush=True)
    elif path == "/until":  # there is the file that the query names
        while not os.path.exists(environ["QUERY_STRING"]):
            time.sleep(0.01)
        body = str(os.getpid()).encode()
    elif path == "/id":
        body = f"{os.getuid()} {os.getgid()} {os.umask(0)} {os.getcwd()} {os.environ.get('COLOUR')}".encode()
    elif path == "/orphan":
        body = str(_orphan()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


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
