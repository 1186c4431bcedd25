# The thin layer between somebody else's ASGI server and the application: it sees each request begin and end.
#
# Rule: what counts against --timeout is the time until the application begins to answer. What comes after may
# be a stream without end, and a WebSocket is one from the start.
# Rule: while the worker drains, answers ask the client to use another connection.

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from bigtop.backends.base import App, Life
from bigtop.backends.books import Books, Entry
from bigtop.http.messages import Request

Scope = Mapping[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class AsgiMeter:
    """`app`, with its requests in `books`."""

    __slots__ = ("_app", "_books", "_life")

    def __init__(self, app: App, books: Books, life: Life) -> None:
        self._app = app
        self._books = books
        self._life = life

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        client = (scope.get("client") or ("",))[0] or ""
        entry = Entry()
        self._books.begin(entry, scope.get("method", "GET"), client, scope["path"].encode())
        if scope["type"] == "websocket":
            self._books.writing(entry)
        outlet = _Outlet(self._books, entry, send, self._life if _has_connections(scope) else None)
        try:
            await self._app(scope, receive, outlet.send)
        finally:
            ended = self._books.end(entry)
            if self._books.logs:
                self._books.log(entry, _request_of(scope), client, ended, {})


class _Outlet:
    """What the application sends with, for one request. `life` is None where answers cannot say "close"."""

    __slots__ = ("_books", "_entry", "_life", "_send")

    def __init__(self, books: Books, entry: Entry, send: Send, life: Life | None) -> None:
        self._books = books
        self._entry = entry
        self._send = send
        self._life = life

    def send(self, message: Message) -> Awaitable[None]:
        entry = self._entry
        match message["type"]:
            case "http.response.start":
                self._books.writing(entry)
                entry.status = message["status"]
                headers = list(message.get("headers", ()))
                if self._books.logs:
                    entry.headers = [
                        (name.decode("latin-1"), value.decode("latin-1")) for name, value in headers
                    ]
                if self._life is not None and self._life.draining:
                    message = {**message, "headers": [*headers, (b"connection", b"close")]}
            case "http.response.body":
                entry.sent += len(message.get("body", b""))
            case "websocket.accept":
                entry.status = 101
            case "websocket.close" if entry.status == 500:
                entry.status = 403
        return self._send(message)  # the application awaits it: one coroutine less


def _has_connections(scope: Scope) -> bool:
    """Whether the protocol has a Connection header (RFC 9113, 8.2.2: HTTP/2 has none)."""
    return scope["type"] == "http" and str(scope.get("http_version", "1.1")).startswith("1")


def _request_of(scope: Scope) -> Request:
    request = Request()
    request.method = scope.get("method", "GET")
    request.version = str(scope.get("http_version", "1.1"))
    target: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope.get("query_string", b"")
    request.target = target + b"?" + query if query else target
    request.headers = list(scope["headers"])
    return request
