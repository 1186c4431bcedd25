# An application that writes down which functions of Bigtop run between two of its calls.

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

import bigtop

ROOT = str(Path(bigtop.__file__).parent) + "/"
calls: list[str] = []


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = b"ok"
    if environ["PATH_INFO"] == "/start":
        sys.setprofile(note)
    elif environ["PATH_INFO"] == "/stop":
        sys.setprofile(None)
        body = json.dumps(calls).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def note(frame: FrameType, event: str, _argument: object) -> None:
    code = frame.f_code
    if event == "call" and code.co_filename.startswith(ROOT):
        calls.append(f"{code.co_filename.removeprefix(ROOT)}:{code.co_qualname}")
