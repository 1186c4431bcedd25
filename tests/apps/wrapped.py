# An application that wraps what starts programs and processes, as debuggers and tracers do: each call is
# told on standard error, and goes on. With LISTENING it leaves a socket open, so that no fork server can
# fork it; with DEBUGPY a port for editors as well, whose library wraps the same functions.

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterable
from typing import Any

NAMES = ("execv", "execve", "fork", "posix_spawn")


def _wrap(module: Any, name: str) -> None:
    original = getattr(module, name)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        os.write(2, f"wrapper of {name} called\n".encode())
        return original(*args, **kwargs)

    setattr(module, name, wrapper)


if "DEBUGPY" in os.environ:
    import debugpy

    debugpy.listen(("127.0.0.1", 0))
for _name in NAMES:
    _wrap(os, _name)
_wrap(subprocess.Popen, "__init__")
if "LISTENING" in os.environ:
    LISTENER = socket.create_server(("127.0.0.1", 0))


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
