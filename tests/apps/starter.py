# An application that starts a program and leaves it every descriptor that is inheritable, at its import and
# in a call. /import and /call answer with what the program had open beyond standard input, output and error:
# the lines of `ls -l`, but for the folder that it reads. With LISTENING it leaves a socket open.

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterable
from typing import Any


def inherited() -> bytes:
    command = ["ls", "-l", "/proc/self/fd"]
    lines = subprocess.run(command, capture_output=True, close_fds=False, check=True).stdout.splitlines()
    found = [line for line in lines if b" -> " in line]
    numbers = [line.partition(b" -> ")[0].split()[-1] for line in found]
    assert {b"0", b"1", b"2"} < set(numbers)
    return b"\n".join(
        line
        for line, number in zip(found, numbers, strict=True)
        if number not in (b"0", b"1", b"2") and not line.endswith(b"/fd")
    )


AT_IMPORT = inherited()
if "LISTENING" in os.environ:
    LISTENER = socket.create_server(("127.0.0.1", 0))


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = AT_IMPORT if environ["PATH_INFO"] == "/import" else inherited()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
