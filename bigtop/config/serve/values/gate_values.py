# Text to value, about who is let in: addresses, files, texts in fields.
#
# Rule: as in values.py.

from __future__ import annotations

import re
from typing import Final

from bigtop.config.serve.values.values import Convert, path, proxy


def address_list(given: str) -> str:
    """An address, a network or *; or file:PATH of such."""
    kind, _, name = given.partition(":")
    if kind == "file" and name:
        return f"file:{path(name)}"
    try:
        return proxy(given)
    except ValueError:
        raise ValueError(
            f"must be an IP address, a network such as 10.0.0.0/8, *, or file:PATH of such, got {given!r}"
        ) from None


def unless_none(convert: Convert[str]) -> Convert[str]:
    """What `convert` makes of a text; "" for the word off, and for nothing."""
    return lambda given: "" if given in ("", "off") else convert(given)


_HOST: Final = r"[a-z0-9_-]+(\.[a-z0-9_-]+)*"


def canonical(given: str) -> str:
    """[ALIAS=]HOST, in lower case; only the latter may have a port."""
    if not re.fullmatch(rf"({_HOST}=)?{_HOST}(:[0-9]{{1,5}})?", given.lower()):
        raise ValueError(
            f"must be a host such as www.example.com, or an alias of it as in example.com=www.example.com, "
            f"got {given!r}"
        )
    return given.lower()


def error_page(given: str) -> tuple[tuple[int, ...], str]:
    """CODES=FILE; 5xx is all of these."""
    from http import HTTPStatus  # a supervisor mostly does without

    codes, _equals, name = given.partition("=")
    found: list[int] = []
    for word in codes.split(","):
        some = [int(status) for status in HTTPStatus if _is_like(int(status), word)]
        found += some
        if not some or not name:
            raise ValueError(
                f"must be statuses and a file such as 502,503=sorry.html or 5xx=sorry.html, got {given!r}"
            )
    return tuple(found), path(name)


def _is_like(status: int, word: str) -> bool:
    return status >= 400 and word in (str(status), f"{status // 100}xx")


def fallback(given: str) -> tuple[str, str]:
    """URL=FILE, URL=app."""
    prefix, _equals, name = given.partition("=")
    is_plain = all(part and not part.startswith(".") for part in name.split("/"))
    if not re.fullmatch(r"/|(/[\w.~-]+)+/?", prefix, re.ASCII) or not is_plain:
        raise ValueError(
            f"must be the path of a --static and a file in its folder, or the word app, such as "
            f"/=index.html or /shop=app, got {given!r}"
        )
    return prefix.rstrip("/") + "/", name


def quotable(given: str) -> str:
    """What may stand between quotes in a field."""
    if not re.fullmatch(r"[\x20-\x7e]+", given) or '"' in given or "\\" in given:
        raise ValueError(f"must be printable ASCII without quotes and backslashes, got {given!r}")
    return given
