# Declarations of options about requests and places: the words, the defaults, the two smallest descriptions.
#
# They are apart from what heeds them, because a supervisor reads options and never a request.

from __future__ import annotations

from typing import Final, NamedTuple

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


class Mount(NamedTuple):
    """The files in `folder` are to be found under `prefix`, which begins and ends with a slash."""

    prefix: str
    folder: str


class Route(NamedTuple):
    """A place of requests; "" as a host is any, "" as a path is all. The host is in lower case."""

    host: str
    path: str

    def __str__(self) -> str:
        return self.host + self.path or "the rest"
