# Declarations of options about requests and places: the words, the defaults, the two smallest descriptions.
#
# They are apart from what heeds them, because a supervisor reads options and never a request.

from __future__ import annotations

from typing import Final, NamedTuple

APP: Final = "app"  # the word for the application, where something else could be
LONGEST_METHOD: Final = 32  # characters; that of the longest registered one is 17
MAPS: Final = ("drop", "refuse", "dangerous")  # the words of --header-map
# What a proxy may set, by the words of --forwarded-headers.
FIELDS: Final = {
    "for": b"x-forwarded-for",
    "proto": b"x-forwarded-proto",
    "host": b"x-forwarded-host",
    "port": b"x-forwarded-port",
    "forwarded": b"forwarded",
}
# The fields that "proto" stands for, and what they say of a request that came by https: gunicorn's
# secure_scheme_headers.
SECURE_SCHEMES: Final = (
    ("X-Forwarded-Protocol", "ssl"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Ssl", "on"),
)
FORWARDER: Final = ("SCRIPT_NAME", "PATH_INFO")  # gunicorn's forwarder_headers
# What sites send as text. No fonts and no pictures but SVG: they are compressed already.
COMPRESSED_TYPES: Final = (
    "text/*", "application/json", "application/*+json", "application/x-ndjson", "application/javascript",
    "application/xml", "application/*+xml", "application/wasm", "application/yaml", "image/svg+xml",
)  # fmt: skip
COMPRESSED_LEAST: Final = 860  # bytes: less than that goes into one packet either way


class Mount(NamedTuple):
    """The files in `folder` are to be found under `prefix`, which begins and ends with a slash.

    `fallback` is what is sent where there is no such file: another file of the folder; APP, the application
    answers; "", nothing is."""

    prefix: str
    folder: str
    fallback: str = ""


class Rate(NamedTuple):
    """So many `requests` in `seconds`, all of which may come at once; 0 requests: any number."""

    requests: int
    seconds: int


class Route(NamedTuple):
    """A place of requests; "" as a host is any, "" as a path is all. The host is in lower case."""

    host: str
    path: str

    def __str__(self) -> str:
        return self.host + self.path or "the rest"


class ProxyRoute(NamedTuple):
    """Requests below `prefix` are answered by another server: at `host` and `port`, or at the unix socket
    `socket`, "" where it is none. `base` takes the place of the prefix, "" for the path as it is."""

    prefix: str
    host: str
    port: int
    socket: str
    base: str

    @property
    def authority(self) -> str:
        """What stands for a Host field that a client did not send."""
        if self.socket:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 80 else f"{host}:{self.port}"

    @property
    def target(self) -> str:
        """The other server, as people write it."""
        return f"unix:{self.socket}" if self.socket else f"http://{self.authority}"
