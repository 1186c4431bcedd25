# Applications that give a server values of every type, each in every place where a server takes one.
#
# A request for /PLACE/VALUE tries one value in one place. What that raised in the application is printed with
# the path of the request; what came of it otherwise, the client sees.

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from tests.apps import shown

Giver = Callable[[Any, dict[str, Any], Callable[..., Any]], Any]


class Odd:
    def __repr__(self) -> str:
        return "<odd>"


class Text(str):
    __slots__ = ()


class Raw(bytes):
    __slots__ = ()


class Number(int):
    __slots__ = ()


class Items(list[Any]):
    pass


class Lazy(list[Any]):
    """Holds something else than it yields."""

    def __iter__(self) -> Iterator[Any]:
        return iter([b"x", b"y"])

    def __len__(self) -> int:
        return 2


class Index:
    def __index__(self) -> int:
        return 3

    def __repr__(self) -> str:
        return "<index>"


def generator(*items: Any) -> Iterator[Any]:
    yield from items


# Made anew for each request: some are used up.
VALUES: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "true": lambda: True,
    "false": lambda: False,
    "number": lambda: 4999,
    "negative": lambda: -5,
    "enormous": lambda: 10**30,
    "member": lambda: HTTPStatus.OK,
    "own-number": lambda: Number(4000),
    "index": Index,
    "float": lambda: 200.0,
    "decimal": lambda: Decimal(200),
    "text": lambda: "text",
    "own-text": lambda: Text("own"),
    "status": lambda: "418 Teapot",
    "wide-text": lambda: "\u20ac",
    "bytes": lambda: b"bytes",
    "own-bytes": lambda: Raw(b"own"),
    "bytearray": lambda: bytearray(b"array"),
    "memoryview": lambda: memoryview(b"view"),
    "no-items": list,
    "list": lambda: ["x"],
    "own-list": lambda: Items(["x"]),
    "lazy-list": lambda: Lazy(["x"]),
    "text-pair": lambda: ["a", "b"],
    "bytes-pair": lambda: [b"a", b"b"],
    "pairs": lambda: [("a", "b")],
    "list-pairs": lambda: [["a", "b"]],
    "bytes-pairs": lambda: [[b"a", b"b"]],
    "tuple": lambda: (b"x", b"y", b"z"),
    "no-error": lambda: (None, None, None),
    "dict": lambda: {"a": "b"},
    "proxy": lambda: MappingProxyType({"type": "http.response.nothing"}),
    "set": lambda: {"a"},
    "generator": lambda: generator(b"x"),
    "pair-generator": lambda: generator(("a", "b")),
    "function": lambda: len,
    "odd": Odd,
}


def say(path: str, error: BaseException) -> None:
    print(f"{path}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


# ---- WSGI


def _answer(status: Any = "200 OK", headers: Any = (), body: Any = b"x", exc_info: Any = None) -> Giver:
    """Return who answers with that, in which `...` stands for the value."""

    def give(value: Any, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        fields = list(headers) if isinstance(headers, tuple) else headers
        start_response(filled(status, value), filled(fields, value))
        return filled(body, value)

    return give


def filled(shape: Any, value: Any) -> Any:
    """Return `shape` with the value in the place of each `...`."""
    if shape is ...:
        return value
    if isinstance(shape, (list, tuple)):
        return type(shape)(filled(part, value) for part in shape)
    if isinstance(shape, dict):
        return {key: filled(part, value) for key, part in shape.items()}
    return shape


def _again(value: Any, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [])
    start_response("500 Oh", [], value)
    return [b"x"]


def _too_late(value: Any, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [("Content-Length", "2")])(b"x")
    start_response("500 Oh", [], value)
    return [b"y"]


def _write(value: Any, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [])(value)
    return [b"x"]


def _yielded(value: Any, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [])
    return generator(b"x", value)


def _hint(shape: Any) -> Giver:
    def give(value: Any, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        environ["wsgi.early_hints"](filled(shape, value))
        start_response("200 OK", [])
        return [b"x"]

    return give


class Reads:
    """A file that reads as a value, once."""

    def __init__(self, value: Any) -> None:
        self._values = [value]

    def read(self, size: int) -> Any:
        return self._values.pop() if self._values else b""


def _wrapped(made: Callable[[Any], tuple[Any, ...]]) -> Giver:
    def give(value: Any, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](*made(value))

    return give


WSGI: dict[str, Giver] = {
    "status": _answer(status=...),
    "headers": _answer(headers=...),
    "pair": _answer(headers=[...]),
    "name": _answer(headers=[(..., "x")]),
    "value": _answer(headers=[("X-Name", ...)]),
    "listed": _answer(headers=[["X-Name", ...]]),
    "length": _answer(headers=[("Content-Length", ...)]),
    "exc_info": _again,
    "exc_info-late": _too_late,
    "write": _write,
    "response": _answer(body=...),
    "only-piece": _answer(body=[...]),
    "piece": _answer(body=[b"x", ...]),
    "yielded": _yielded,
}
OURS: dict[str, Giver] = {  # no other server has to take these
    "hints": _hint(...),
    "hint": _hint([...]),
    "hint-name": _hint([(..., "x")]),
    "hint-value": _hint([("Link", ...)]),
    "file": _wrapped(lambda value: (value,)),
    "block": _wrapped(lambda value: (io.BytesIO(b"x" * 9), value)),
    "read": _wrapped(lambda value: (Reads(value),)),
}


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    path = environ["PATH_INFO"]
    _, place, name = path.split("/")
    try:
        return (WSGI | OURS)[place](VALUES[name](), environ, start_response)
    except BaseException as error:
        say(path, error)
        raise


# ---- ASGI

START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b"x"}
MORE = BODY | {"more_body": True}
TRAILERS = {"type": "http.response.trailers", "headers": [(b"x-name", b"x")]}
FILE = {"type": "http.response.zerocopysend", "file": 0}

HTTP: dict[str, list[Any]] = {
    "message": [...],
    "type": [{"type": ...}],
    "late-type": [START, BODY, {"type": ...}],
    "type-for-nobody": [START | {"headers": [(b"content-length", b"0")]}, MORE, {"type": ...}],
    "status": [START | {"status": ...}, BODY],
    "headers": [START | {"headers": ...}, BODY],
    "pair": [START | {"headers": [...]}, BODY],
    "name": [START | {"headers": [(..., b"x")]}, BODY],
    "value": [START | {"headers": [(b"x-name", ...)]}, BODY],
    "body": [START, BODY | {"body": ...}],
    "piece": [START, MORE | {"body": ...}, BODY],
    "more_body": [START, BODY | {"more_body": ...}, BODY],
}
EXTENSIONS: dict[str, list[Any]] = {  # no other server has to take these
    "trailers": [START | {"trailers": ...}, BODY, TRAILERS],
    "trailers-headers": [START | {"trailers": True}, BODY, TRAILERS | {"headers": ...}],
    "more_trailers": [START | {"trailers": True}, BODY, TRAILERS | {"more_trailers": ...}, TRAILERS],
    "links": [{"type": "http.response.early_hint", "links": ...}, START, BODY],
    "link": [{"type": "http.response.early_hint", "links": [...]}, START, BODY],
    "path": [START, {"type": "http.response.pathsend", "path": ...}],
    "file": [START, FILE | {"file": ...}],
    "offset": [START, FILE | {"offset": ...}],
    "count": [START, FILE | {"count": ...}],
    "file-more_body": [START, FILE | {"more_body": ...}, BODY],
}
ACCEPT = {"type": "websocket.accept"}
DENY = {"type": "websocket.http.response.start", "status": 403, "headers": []}
DENIAL = {"type": "websocket.http.response.body", "body": b"x"}

WEBSOCKET: dict[str, list[Any]] = {
    "ws-message": [...],
    "ws-type": [{"type": ...}],
    "ws-accept-headers": [ACCEPT | {"headers": ...}],
    "ws-name": [ACCEPT | {"headers": [(..., b"x")]}],
    "ws-value": [ACCEPT | {"headers": [(b"x-name", ...)]}],
    "ws-subprotocol": [ACCEPT | {"subprotocol": ...}],
    "ws-open-message": [ACCEPT, ...],
    "ws-open-type": [ACCEPT, {"type": ...}],
    "ws-text": [ACCEPT, {"type": "websocket.send", "text": ...}],
    "ws-bytes": [ACCEPT, {"type": "websocket.send", "bytes": ...}],
    "ws-code": [ACCEPT, {"type": "websocket.close", "code": ...}],
    "ws-reason": [ACCEPT, {"type": "websocket.close", "reason": ...}],
    "ws-late-type": [ACCEPT, {"type": "websocket.close"}, {"type": ...}],
    "ws-status": [DENY | {"status": ...}, DENIAL],
    "ws-denial-headers": [DENY | {"headers": ...}, DENIAL],
    "ws-body": [DENY, DENIAL | {"body": ...}],
    "ws-more_body": [DENY, DENIAL | {"more_body": ...}, DENIAL],
}


async def asgi(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    if scope["type"] == "lifespan":
        await shown.asgi(scope, receive, send)
        return
    if scope["type"] == "websocket":
        await receive()
    path = scope["path"]
    _, place, name = path.split("/")
    with tempfile.TemporaryFile() as file:
        file.write(b"0123456789" * 1000)
        file.seek(0)
        try:
            for message in filled((HTTP | EXTENSIONS | WEBSOCKET)[place], VALUES[name]()):
                if isinstance(message, dict) and "file" in message and place != "file":
                    message["file"] = file
                await send(message)
        except Exception as error:
            say(path, error)
