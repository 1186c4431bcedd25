# Applications whose answers a cache may keep, or not: the query says what is answered. Each body tells how
# often its path was asked for, in this process.
#
# h=NAME:VALUE is a field of the answer. status=A,B are those of the first call, and of all others. gate=PATH
# holds the call, from the second on if after=1. pieces=1: the body comes in several. cut=1: less than was
# announced. size=N: it has so many bytes more. fail=1: the call fails, from the second on if after=1.
# etag=TAG: that is confirmed with a 304. pid=1: the body tells which process made it.

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from tests.apps import gate

_calls: Counter[str] = Counter()


class Call:
    """What one request asks for."""

    def __init__(self, path: str, query: str, headers: dict[str, str], method: str) -> None:
        _calls[path] += 1
        self.number = _calls[path]
        self.asked = asked = parse_qs(query, keep_blank_values=True)
        is_late = self.number > 1 or "after" not in asked
        self.gate = asked["gate"][0] if "gate" in asked and is_late else ""
        self.fails = "fail" in asked and is_late
        statuses = asked.get("status", ["200"])[0].split(",")
        self.status = int(statuses[min(self.number, len(statuses)) - 1])
        self.headers = [tuple(one.split(":", 1)) for one in asked.get("h", ())]
        seen = {name: headers[name] for name in sorted(headers) if name.startswith(("x-", "if-", "cookie"))}
        pid = os.getpid() if "pid" in asked else 0
        self.body = json.dumps({"n": self.number, "pid": pid, "seen": seen, "method": method}).encode()
        self.body += b" " * int(asked.get("size", ["0"])[0])
        if "etag" in asked:
            tag = f'"{asked["etag"][0]}"'
            self.headers.append(("ETag", tag))
            if headers.get("if-none-match") == tag:
                self.status, self.body = 304, b""
        if "pieces" not in asked or "measured" in asked:
            self.headers.append(("Content-Length", str(len(self.body))))

    def pieces(self) -> list[bytes]:
        body = self.body
        if "cut" in self.asked:
            return [body[:-3]]
        if "pieces" in self.asked:
            return [body[:5], b"", body[5:9], body[9:]]
        return [body]


def wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") and name != "HTTP_X_REQUEST_ID"
    }
    call = Call(environ["PATH_INFO"], environ["QUERY_STRING"], headers, environ["REQUEST_METHOD"])
    if call.gate:
        gate.wait(call.gate)
    if call.fails:
        raise LookupError("asked for")
    start_response(f"{call.status} {HTTPStatus(call.status).phrase}", list(call.headers))
    return _given(call) if len(call.pieces()) > 1 else call.pieces()


def _given(call: Call) -> Iterator[bytes]:
    yield from call.pieces()


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    headers = {
        name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name != b"x-request-id"
    }
    call = Call(scope["path"], scope["query_string"].decode(), headers, scope["method"])
    if call.gate:
        await gate.awaited(call.gate)
    if call.fails:
        raise LookupError("asked for")
    fields = [(name.encode(), value.encode()) for name, value in call.headers]
    await send({"type": "http.response.start", "status": call.status, "headers": fields})
    pieces = call.pieces()
    for piece in pieces[:-1]:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": pieces[-1]})
