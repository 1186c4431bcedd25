# Fields that an application sends and that only a server may: they are dropped (our own servers do that in
# http/response.py, others are given what is left), which is told once for each of them in a worker.

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

from bigtop.http.response import HOP_BY_HOP
from bigtop.log import logger as get_logger

log = get_logger("bigtop.app")

Name = TypeVar("Name", str, bytes)

# In WSGI, and in ASGI.
_NAMES: Final = frozenset(form for name in HOP_BY_HOP for form in (name, name.encode()))
_CONNECTION: Final = ("connection", b"connection")
_CLOSE: Final = ("close", b"close")
_told: Final[set[str]] = set()  # there are about ten names


def tell(names: Iterable[str]) -> None:
    for name in names:
        lower = name.lower()
        if lower not in _told:
            _told.add(lower)
            log.warning("the application sends the header %s, which only a server may: it is dropped", name)


def left(fields: list[tuple[Name, Name]], *, closes: bool = True) -> list[tuple[Name, Name]]:
    """Return those of `fields` that an application may send. `closes`: "Connection: close" is one of them."""
    for name, _value in fields:
        if name.lower() in _NAMES:
            return _sorted_out(fields, closes)
    return fields


def _sorted_out(fields: list[tuple[Name, Name]], closes: bool) -> list[tuple[Name, Name]]:
    kept, dropped = [], []
    for name, value in fields:
        is_close = closes and name.lower() in _CONNECTION and value.strip().lower() in _CLOSE
        if name.lower() in _NAMES and not is_close:
            dropped.append(name if isinstance(name, str) else name.decode("latin-1"))
        else:
            kept.append((name, value))
    tell(dropped)
    return kept
