# The thin layer between somebody else's ASGI server and the application: it sees each request begin and end.
#
# Rule: what counts against --timeout is the time until the application begins to answer. What comes after may
# be a stream without end, and a WebSocket is one from the start.
# Rule: while the worker drains, answers ask the client to use another connection.
# Rule: what the native server takes for a failed start is one here as well, whatever the other server makes
# of it. So it speaks of lifespans with us, and we with the application.

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from bigtop.backends.adapters.metrics import AdapterMetrics, MeteredRequest, access
from bigtop.backends.asgi.calls.lifespan import Lifespan
from bigtop.backends.base import App, Life
from bigtop.backends.failures import contain
from bigtop.backends.native.framework_routes import asgi_reader
from bigtop.backends.native.handlers.hopbyhop import left
from bigtop.backends.serve_options import ServeOptions
from bigtop.errors import AppError
from bigtop.http.interfaces.asgi import Message, as_bytes, no_message, status_line, text_fields
from bigtop.http.messages import Request

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class AsgiMeter:
    """`app`, with its requests counted."""

    __slots__ = ("_app", "_failure", "_life", "_metrics")

    def __init__(self, app: App, life: Life, options: ServeOptions) -> None:
        self._app = app
        self._metrics = AdapterMetrics(life, options, asgi_reader())
        self._life = life
        self._failure: AppError | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        client = (scope.get("client") or ("",))[0] or ""
        metrics, metered = self._metrics, MeteredRequest()
        metrics.begin(metered, scope.get("method", "GET"), client, scope["path"].encode())
        if scope["type"] == "websocket":
            metrics.writing(metered.record)
        # Now: what the application does to its scope is no concern of the log.
        request = None if metrics.access_log is None else _request_of(scope)
        sender = _Sender(metrics, metered, send, self._life if _has_connections(scope) else None)
        try:
            await self._app(scope, receive, sender.send)
        except (SystemExit, KeyboardInterrupt) as error:
            contain(error)
        finally:
            ended = metrics.end(metered, scope)
            if metrics.access_log is not None and request is not None:
                metrics.access_log.add(access(metered, request, client, ended, {}))

    @property
    def is_busy(self) -> bool:
        """Whether the server has requests that it is not done with."""
        return self._metrics.busy > 0

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        lifespan = Lifespan(self._app, "auto", scope.get("state", {}))
        try:
            await lifespan.startup()
        except AppError as error:
            self._failure = error
            await send({"type": "lifespan.startup.failed"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await lifespan.shutdown()
        await send({"type": "lifespan.shutdown.complete"})

    def check_start(self) -> None:
        """Raise the AppError that kept the application from starting, if there was one; when the server has
        ended."""
        if self._failure is not None:
            raise self._failure


class _Sender:
    """What the application sends with, for one request. `life` is None where answers cannot say "close"."""

    __slots__ = ("_life", "_metered", "_metrics", "_send")

    def __init__(
        self, metrics: AdapterMetrics, metered: MeteredRequest, send: Send, life: Life | None
    ) -> None:
        self._metrics = metrics
        self._metered = metered
        self._send = send
        self._life = life

    def send(self, message: Message) -> Awaitable[None]:
        metered = self._metered
        try:
            kind = message["type"]
        except (TypeError, KeyError, IndexError):
            raise no_message(message) from None
        match kind:
            case "http.response.start":
                self._metrics.writing(metered.record)
                status: Any = message.get("status")
                status_line(status)  # which says what is wrong, as text_fields() does
                metered.status = int(status)
                headers = message.get("headers", ())
                if isinstance(headers, Iterable):  # it may be a generator, which is read but once
                    headers = list(headers)
                fields = text_fields(headers)
                kept = left(fields)
                if self._metrics.access_log is not None:
                    metered.headers = kept
                if kept is not fields:
                    headers = left(headers)
                    message = {**message, "headers": headers}
                if self._life is not None and self._life.draining:
                    message = {**message, "headers": [*headers, (b"connection", b"close")]}
            case "http.response.body":
                metered.sent += len(as_bytes(message.get("body", b"")))
            case "websocket.accept":
                metered.status = 101
            case "websocket.close" if metered.status == 500:
                metered.status = 403
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
