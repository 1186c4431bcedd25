# An application that tells whether it was imported into a cooperative world.

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import gevent

from tests.apps import gate

PATCHED = "gevent" in socket.socket.__module__
MEETING = threading.Barrier(8)  # of so many calls at once
DEADLINE = 20.0


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    body = str(PATCHED)
    if path == "/nap":
        time.sleep(0.2)
        body = str(os.getpid())
    elif path.startswith("/held/"):
        gate.wait(path.removeprefix("/held"))
    elif path == "/compute":
        while True:
            pass
    elif path == "/meet":
        body = str(MEETING.wait(DEADLINE))
    elif path == "/wait":
        time.sleep(3)
        body = "waited"
    elif path == "/late":
        with gevent.Timeout(0.05):
            gevent.sleep(60)
    elif path.startswith("/flood/"):
        size = int(path.rpartition("/")[2])
        start_response("200 OK", [("Content-Length", str(size))])
        return (b"f" * (size // 64) for _ in range(64))
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body.encode()]
