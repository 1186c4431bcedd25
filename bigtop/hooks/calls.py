# Hooks around each request: pre_request and post_request, as a layer around the application.
#
# Rule: where there is no such hook there is no such layer, and a request pays nothing. The layer keeps what
# servers look at: a list stays a list, and a file that is sent by sendfile(2) stays one.

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

from bigtop.hooks.load import Hook
from bigtop.hooks.objects import Worker
from bigtop.hooks.requests import Environ, Request, Response, add_field
from bigtop.http.clients.peer import host_and_port
from bigtop.http.interfaces.file_wrapper import FileWrapper
from bigtop.log import logger as get_logger

log = get_logger("bigtop.hooks")


class Around:
    """What is done before and after each call. A `before` that fails costs the request, as with gunicorn."""

    def __init__(self, worker: Worker, before: Hook | None, after: Hook | None) -> None:
        self._worker = worker
        self._before = before
        self._after = after

    def begin(self, request: Request) -> None:
        if self._before is not None:
            self._before(self._worker, request)

    def end(self, request: Request, environ: Environ, response: Response) -> None:
        if self._after is None:
            return
        try:
            self._after(self._worker, request, environ, response)
        except Exception:  # whatever other people's hook raises: the answer is given
            log.exception("hook post_request failed")

    # ---- WSGI

    def wsgi(self, app: Callable[..., Any]) -> Callable[..., Any]:
        def called(environ: Environ, start_response: Callable[..., Any]) -> Any:
            request, response = Request(environ), Response()

            def started(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
                response.began(status, headers)
                return start_response(status, headers, exc_info)

            try:
                self.begin(request)
                answer = app(environ, started)
            except BaseException:  # whatever the application raises: the hook is told
                self.end(request, environ, response)
                raise
            return _ending(answer, response, lambda: self.end(request, environ, response))

        return called

    # ---- ASGI

    def asgi(self, app: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        async def called(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            environ = _environ(scope)
            request, response = Request(environ), Response()

            async def told(message: MutableMapping[str, Any]) -> None:
                if message["type"] == "http.response.start":
                    fields = [(_text(name), _text(value)) for name, value in message.get("headers", ())]
                    response.began(str(message["status"]), fields)
                elif message["type"] == "http.response.body":
                    response.sent += len(message.get("body", b""))
                await send(message)

            try:
                self.begin(request)
                await app(scope, receive, told)
            finally:
                self.end(request, environ, response)

        return called


class _Pieces(list[bytes]):
    """An answer that is whole, with something to be done when it was given."""

    close: Callable[[], None]


class _Iterated:
    """An answer that comes by and by."""

    def __init__(self, answer: Any, response: Response, close: Callable[[], None]) -> None:
        self._answer = answer
        self._response = response
        self.close = close

    def __iter__(self) -> Iterator[Any]:
        for piece in self._answer:
            self._response.sent += len(piece)
            yield piece


def _ending(answer: Any, response: Response, end: Callable[[], None]) -> Any:
    """Return `answer` so that `end` is called when it is closed."""
    inner = getattr(answer, "close", None)

    def close() -> None:
        try:
            if inner is not None:
                inner()
        finally:
            end()

    if type(answer) is FileWrapper:
        answer.close = close  # type: ignore[method-assign]
        return answer
    if isinstance(answer, (list, tuple)):
        pieces = _Pieces(answer)
        pieces.close = close
        response.sent = sum(map(len, pieces))
        return pieces
    return _Iterated(answer, response, close)


def _environ(scope: MutableMapping[str, Any]) -> Environ:
    """Return what hooks look at in an environ, for a scope, which is in it, too."""
    query = scope["query_string"]
    raw = scope.get("raw_path") or scope["path"].encode()
    address, port = host_and_port(scope.get("client"))
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "RAW_URI": _text(raw + b"?" + query if query else raw),
        "PATH_INFO": scope["path"],
        "QUERY_STRING": _text(query),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": address,
        "REMOTE_PORT": port,
        "wsgi.url_scheme": scope["scheme"],
        "asgi.scope": scope,
    }
    for name, value in scope["headers"]:
        add_field(environ, _text(name), _text(value))
    return environ


def _text(data: bytes) -> str:
    return data.decode("latin-1")
