# An application that writes down which functions of Bigtop run between two of its calls. It tells null where
# these calls were not all made by one thread: somebody took over from it meanwhile.

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import get_ident
from types import FrameType
from typing import Any

import bigtop

ROOT = str(Path(bigtop.__file__).parent) + "/"
calls: list[str] = []
threads: set[int] = set()


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = seen(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def seen(path: str) -> bytes:
    """Begin at /start; return at /stop what ran since."""
    threads.add(get_ident())
    if path == "/start":
        threads.intersection_update([get_ident()])
        calls.clear()
        sys.setprofile(note)
    elif path == "/stop":
        sys.setprofile(None)
        return json.dumps(calls if len(threads) == 1 else None).encode()
    return b"ok"


def note(frame: FrameType, event: str, _argument: object) -> None:
    code = frame.f_code
    if event == "call" and code.co_filename.startswith(ROOT):
        calls.append(f"{code.co_filename.removeprefix(ROOT)}:{code.co_qualname}")
