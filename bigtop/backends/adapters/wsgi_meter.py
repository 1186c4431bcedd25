# The thin layer between somebody else's WSGI server and the application: it sees each request begin and end.
#
# Rule 1: a response passes as what it is. Servers look at it (is it a list of one piece? a file?) and decide
# how to frame and send it, so a list stays a list and a file wrapper is not touched.
# Rule 2: what an application says of the connection is for the server to say: it is left out here, since each
# server has ways of its own with it, some of which break the answer.
# Rule 3: a request ends when its server closes the response (PEP 3333 makes it do so), which is when the last
# byte was handed to the system, also in servers that send after the application has returned.

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Final

from bigtop.backends.adapters.list_response import ListResponse
from bigtop.backends.adapters.metrics import AdapterMetrics, MeteredRequest, access
from bigtop.backends.base import App, Life
from bigtop.backends.failures import contain
from bigtop.backends.native.framework_routes import wsgi_reader
from bigtop.backends.native.handlers.hopbyhop import left
from bigtop.backends.serve_options import ServeOptions
from bigtop.http.messages import Request

Environ = dict[str, Any]

_NONE: Final[tuple[tuple[str, str], ...]] = ()


class WsgiMeter:
    """`app`, with its requests counted. As thread-safe as `app` is.

    `lists` is False for a server that forgets to close lists: to it, all responses are streams. `closes` is
    False for one that takes no "Connection: close".
    """

    __slots__ = ("_app", "_closes", "_lists", "_metrics")

    def __init__(
        self, app: App, life: Life, options: ServeOptions, *, lists: bool = True, closes: bool = True
    ) -> None:
        self._app = app
        self._metrics = AdapterMetrics(life, options, wsgi_reader())
        self._lists = lists
        self._closes = closes

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        call = _Call(self._metrics, environ, start_response, self._closes)
        path = environ.get("PATH_INFO", "").encode("latin-1")
        if self._metrics.access_log is not None:
            # Now: what the application does to its environ is no concern of the log.
            call.request = request_of(environ)
        self._metrics.begin(call, environ["REQUEST_METHOD"], environ.get("REMOTE_ADDR") or "", path)
        try:
            response: Any = self._app(environ, call.start_response)
        except BaseException as error:  # whatever it is goes on to the server
            call.end()
            contain(error)
            raise
        kind = type(response)
        if self._lists and (kind is list or kind is tuple):  # exactly these have no close() of their own
            call.sent = len(response[0]) if len(response) == 1 else sum(map(len, response))
            whole = ListResponse(response)
            whole.close = call.end
            return whole
        wrapper = environ.get("wsgi.file_wrapper")
        is_file = isinstance(wrapper, type) and isinstance(response, wrapper)
        if not is_file:
            return _Stream(response, call)
        call.end()
        passed: Iterable[bytes] = response
        return passed

    @property
    def is_busy(self) -> bool:
        """Whether the server has requests that it is not done with."""
        return self._metrics.busy > 0


class _Call(MeteredRequest):
    """One request. Its start_response passes on what it is given and remembers it."""

    __slots__ = ("_closes", "_environ", "_metrics", "_start", "request")

    def __init__(
        self, metrics: AdapterMetrics, environ: Environ, start: Callable[..., Any], closes: bool
    ) -> None:
        self.status = 500
        self.headers = _NONE
        self.sent = 0
        self._metrics: AdapterMetrics | None = metrics
        self._environ = environ
        self._start = start
        self._closes = closes
        self.request: Request | None = None  # for the access log

    def start_response(self, status: Any, headers: Any, exc_info: Any = None) -> Any:
        if isinstance(headers, list):  # a generator could be read but once
            with suppress(AttributeError, TypeError, ValueError):  # no fields: the server says what is wrong
                headers = left(headers, closes=self._closes)
        write = self._start(status, headers, exc_info) if exc_info else self._start(status, headers)
        self.status = max(0, int(status[:3]))
        self.headers = headers
        return write

    def end(self) -> None:
        """Settle the request, once, however often it is asked for."""
        metrics, self._metrics = self._metrics, None
        if metrics is None:
            return
        ended = metrics.end(self, self._environ)
        if metrics.access_log is not None and self.request is not None:
            environ = self._environ
            client = str(environ.get("REMOTE_ADDR") or "")
            metrics.access_log.add(access(self, self.request, client, ended, environ))


class _Stream:
    """A response that comes bit by bit."""

    __slots__ = ("_call", "_iterator", "_response")

    def __init__(self, response: Any, call: _Call) -> None:
        self._response = response
        self._iterator: Iterator[Any] | None = None
        self._call = call

    def __iter__(self) -> _Stream:
        return self

    def __next__(self) -> Any:
        try:
            if self._iterator is None:
                self._iterator = iter(self._response)
            for piece in self._iterator:  # unlike next(), it makes no exception of the end
                self._call.sent += len(piece)
                return piece
        except BaseException as error:  # it goes on to the server, some of which forget to close what failed
            self._call.end()
            contain(error)
            raise
        raise StopIteration

    def close(self) -> None:
        try:
            close = getattr(self._response, "close", None)
            if close is not None:
                close()
        except BaseException as error:  # as in __next__()
            contain(error)
            raise
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
