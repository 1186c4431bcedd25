# Objects of hooks and logger classes: a request, its answer and its environ.

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

from bigtop.http.access_log.access_format import AccessRecord

Environ = dict[str, Any]


class Request:
    """What is called req, out of an environ."""

    def __init__(self, environ: Environ) -> None:
        self.method: str = environ["REQUEST_METHOD"]
        self.uri: str = environ["RAW_URI"]
        rest, _, self.fragment = self.uri.partition("#")
        self.path, _, self.query = rest.partition("?")
        protocol = environ["SERVER_PROTOCOL"].removeprefix("HTTP/")
        self.version = tuple(int(part) for part in f"{protocol}.0".split(".")[:2])
        self.scheme: str = environ["wsgi.url_scheme"]
        self.peer_addr = self.remote_addr = (environ["REMOTE_ADDR"], environ["REMOTE_PORT"])
        self._environ = environ

    @property
    def headers(self) -> list[tuple[str, str]]:
        """All fields, with names in capitals; a field that came several times is one."""
        environ = self._environ
        found = [
            (key.removeprefix("HTTP_").replace("_", "-"), value)
            for key, value in environ.items()
            if key.startswith("HTTP_")
        ]
        return found + [
            (key.replace("_", "-"), environ[key])
            for key in ("CONTENT_TYPE", "CONTENT_LENGTH")
            if environ.get(key)
        ]


class Response:
    """What is called resp."""

    def __init__(self) -> None:
        self.status = ""
        self.status_code = 0
        self.headers: list[tuple[str, str]] = []
        self.response_length: int | None = None
        self.sent = 0
        self.headers_sent = False

    def began(self, status: str, headers: list[tuple[str, str]]) -> None:
        self.status, self.headers = status, list(headers)
        self.status_code = int(status.partition(" ")[0])
        self.headers_sent = True
        lengths = [value for name, value in headers if name.lower() == "content-length"]
        self.response_length = int(lengths[0]) if lengths else None


def environ_of(access: AccessRecord) -> Environ:
    """Return the environ of an answered request, or what there would be in it without an application."""
    request = access.request
    target = request.target.decode("latin-1")
    path, _, query = target.partition("?")
    environ: Environ = {
        "REQUEST_METHOD": request.method,
        "RAW_URI": target,
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": f"HTTP/{request.version}",
        "REMOTE_ADDR": access.address,
        "REMOTE_PORT": "",
        "wsgi.url_scheme": "http",
    }
    for field, value in request.headers:
        add_field(environ, field.decode("latin-1"), value.decode("latin-1"))
    return {**environ, **(access.environ or {})}


def add_field(environ: Environ, name: str, value: str) -> None:
    """Put a header field into an environ, as WSGI says."""
    key = name.upper().replace("-", "_")
    key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
    environ[key] = f"{environ[key]},{value}" if key in environ else value


def response_of(access: AccessRecord) -> Response:
    response = Response()
    response.began(f"{access.status} {_phrase(access.status)}", access.headers)
    response.sent = access.sent
    return response


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
