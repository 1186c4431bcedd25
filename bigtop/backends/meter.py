# The thin layer between somebody else's WSGI server and the application: it sees each request begin and end.
#
# Rule 1: a response passes as what it is. Servers look at it (is it a list of one piece? a file?) and decide
# how to frame and send it, so a list stays a list and a file wrapper is not touched.
# Rule 2: a request ends when its server closes the response (PEP 3333 makes it do so), which is when the last
# byte was handed to the system, also in servers that send after the application has returned.

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from bigtop.backends.base import App
from bigtop.backends.books import Books, Entry
from bigtop.backends.pieces import Pieces
from bigtop.http.messages import Request

Environ = dict[str, Any]

_NONE: Final[tuple[tuple[str, str], ...]] = ()


class WsgiMeter:
    """`app`, with its requests in `books`. As thread-safe as `app` is.

    `lists` is False for a server that forgets to close lists: to it, all responses are streams.
    """

    __slots__ = ("_app", "_books", "_lists")

    def __init__(self, app: App, books: Books, *, lists: bool = True) -> None:
        self._app = app
        self._books = books
        self._lists = lists

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        call = _Call(self._books, environ, start_response)
        path = environ.get("PATH_INFO", "").encode("latin-1")
        self._books.begin(call, environ["REQUEST_METHOD"], environ.get("REMOTE_ADDR") or "", path)
        try:
            response: Any = self._app(environ, call.start_response)
        except BaseException:  # whatever it is goes on to the server
            call.end()
            raise
        kind = type(response)
        if self._lists and (kind is list or kind is tuple):  # exactly these have no close() of their own
            call.sent = len(response[0]) if len(response) == 1 else sum(map(len, response))
            pieces = Pieces(response)
            pieces.close = call.end
            return pieces
        wrapper = environ.get("wsgi.file_wrapper")
        is_file = isinstance(wrapper, type) and isinstance(response, wrapper)
        if not is_file:
            return _Stream(response, call)
        call.end()
        passed: Iterable[bytes] = response
        return passed


class _Call(Entry):
    """One request. Its start_response passes on what it is given and remembers it."""

    __slots__ = ("_books", "_environ", "_start")

    def __init__(self, books: Books, environ: Environ, start: Callable[..., Any]) -> None:
        self.status = 500
        self.headers = _NONE
        self.sent = 0
        self._books: Books | None = books
        self._environ = environ
        self._start = start

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        write = self._start(status, headers, exc_info) if exc_info else self._start(status, headers)
        self.status = int(status[:3])
        self.headers = headers
        return write

    def end(self) -> None:
        """Settle the request, once, however often it is asked for."""
        books, self._books = self._books, None
        if books is None:
            return
        ended = books.end(self)
        if books.logs:
            environ = self._environ
            books.log(self, request_of(environ), environ.get("REMOTE_ADDR") or "", ended, environ)


class _Stream:
    """A response that comes bit by bit."""

    __slots__ = ("_call", "_iterator", "_response")

    def __init__(self, response: Iterable[bytes], call: _Call) -> None:
        self._response = response
        self._iterator: Iterator[bytes] | None = None
        self._call = call

    def __iter__(self) -> _Stream:
        return self

    def __next__(self) -> bytes:
        try:
            if self._iterator is None:
                self._iterator = iter(self._response)
            for piece in self._iterator:  # unlike next(), it makes no exception of the end
                self._call.sent += len(piece)
                return piece
        except BaseException:  # it goes on to the server, some of which forget to close what failed
            self._call.end()
            raise
        raise StopIteration

    def close(self) -> None:
        try:
            close = getattr(self._response, "close", None)
            if close is not None:
                close()
        finally:
            self._call.end()


# ---- for the access log


def request_of(environ: Environ) -> Request:
    """Return the request that an environ was made from, as far as it shows."""
    request = Request()
    request.method = environ["REQUEST_METHOD"]
    request.version = environ.get("SERVER_PROTOCOL", "HTTP/1.1").rpartition("/")[2]
    request.target = _target(environ).encode("latin-1", "replace")
    request.headers = [
        (
            _NAMES.get(key, key.removeprefix("HTTP_")).lower().replace("_", "-").encode("latin-1"),
            value.encode("latin-1"),
        )
        for key, value in environ.items()
        if (key.startswith("HTTP_") or key in _NAMES) and isinstance(value, str)
    ]
    return request


_NAMES: Final = {"CONTENT_TYPE": "content-type", "CONTENT_LENGTH": "content-length"}


def _target(environ: Environ) -> str:
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if isinstance(raw, str):
        return raw
    path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    query = environ.get("QUERY_STRING", "")
    return f"{path or '/'}?{query}" if query else path or "/"
