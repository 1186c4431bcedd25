# A WSGI application that makes much of its memory when it answers, as caches do; and what a fork would break.

from __future__ import annotations

import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterable

cache: list[bytes] = []
kept: list[object] = []


def app(environ: dict[str, object], start_response: Callable[..., object]) -> Iterable[bytes]:
    was_cold = not cache
    if was_cold:
        cache.extend(os.urandom(1024) for _ in range(10_000))
    match environ["PATH_INFO"]:
        case "/leave" if not kept:
            port, database = str(environ["QUERY_STRING"]).split("&")
            threading.Thread(target=threading.Event().wait, name="poller", daemon=True).start()
            kept.append(socket.create_connection(("127.0.0.1", int(port))))
            kept.append(sqlite3.connect(database))
            os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
        case "/cold":
            body = str(was_cold).encode()
            start_response("200 OK", [("Content-Length", str(len(body)))])
            return [body]
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
