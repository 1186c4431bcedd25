# Paths of URLs: whether one is below another, and where an application is mounted.
#
# Rule: paths are compared as applications see them, without encoding, and whole segments count: /api is not
# /apiary.

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes


class Root(NamedTuple):
    """The path below which an application is mounted, "" for none: as text (ASGI), as text with one character
    per byte (WSGI), and encoded."""

    text: str
    latin: str
    raw: bytes


def root_of(path: str) -> Root:
    """Return what --root-path says, encoded or not. Text that is no UTF-8 shows its bytes in `raw`."""
    data = unquote_to_bytes(path)
    return Root(data.decode("utf-8", "replace"), data.decode("latin-1"), quote_from_bytes(data).encode())


def is_below(path: str, prefix: str) -> bool:
    """Whether a path is `prefix` ("" or "/api") or begins with it as with a folder."""
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/")


def path_of_url(target: str) -> str:
    """Return the path of a target in absolute form ("http://host/path"); that of "*" is empty."""
    _, _, rest = target.partition("://")
    _, slash, path = rest.partition("/")
    return slash + path if slash or not rest else "/"
