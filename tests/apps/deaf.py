# An application that ignores SIGCHLD, as its import ("at import" in $DEAF) or as a request finds it, and that
# starts programs.

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterable
from typing import Any

if os.environ.get("DEAF") == "at import":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/ignore":
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    name = signal.Handlers(signal.getsignal(signal.SIGCHLD)).name
    body = f"{os.getpid()} {name} {subprocess.call(['true'])}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
