# Text to value, about what is made of answers on their way out: how they are compressed, what is added.
#
# Rule: as in values.py.

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from bigtop import sizes
from bigtop.config.serve.values.values import field_name, header_value

# What the server alone says of a message, or has an option of its own for (http/response.py).
_OWN: Final = frozenset(
    ("connection", "content-encoding", "content-length", "content-range", "date", "keep-alive",
     "proxy-authenticate", "proxy-authorization", "proxy-connection", "server", "te", "trailer", "trailers",
     "transfer-encoding", "upgrade", "vary")
)  # fmt: skip


def codings(texts: Sequence[str]) -> tuple[str, ...]:
    """auto, which is what this Python can, or a list; what nobody can do here is refused."""
    if not texts:
        return ()
    from bigtop.backends.native.codings import coding_libraries  # most sites compress nothing

    words = [word.strip().lower() for text in texts for word in text.split(",") if word.strip()]
    if words == ["auto"]:
        return coding_libraries.installed()
    if problem := next(filter(None, map(coding_libraries.problem, words)), ""):
        raise ValueError(problem)
    return tuple(dict.fromkeys(words))


def cache_size(given: str) -> int:
    """Bytes of at least a megabyte, with k, M or G; 0 for off."""
    return 0 if given.lower() in ("off", "0") else sizes.size(given, 1 << 20)


def cookie_name(given: str) -> str:
    """The name of a cookie."""
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", given):
        raise ValueError(f"must be names of cookies such as sessionid, got {given!r}")
    return given


def media_type(given: str) -> str:
    """TYPE/SUBTYPE; * is any of the characters of a word."""
    if not re.fullmatch(r"[\w*][\w*.+-]*/[\w*][\w*.+-]*", given, re.ASCII):
        raise ValueError(f"must be media types such as text/* or application/json, got {given!r}")
    return given.lower()


def added_header(given: str) -> tuple[str, str]:
    """NAME: VALUE."""
    name, colon, value = given.partition(":")
    if not colon or not value.strip() or "*" in name:
        raise ValueError(f"must be a field and a value such as X-Robots-Tag: noindex, got {given!r}")
    if name.strip().lower() in _OWN:
        raise ValueError(f"{name.strip()} is the server's own to say")
    return field_name(name.strip()), header_value(value.strip())


def described(found: Sequence[str]) -> list[str]:
    """Return a line that says with what answers are compressed, and what it would take for more; none where
    nothing is compressed."""
    if not found:
        return []
    from bigtop.backends.native.codings import coding_libraries
    from bigtop.http.answers.codings import CODINGS

    missing = [one for one in CODINGS if one not in found and not coding_libraries.is_there(one)]
    more = f"; {' and '.join(missing)} would need: pip install 'bigtop[compress]'" if missing else ""
    return [f"answers are compressed with {', '.join(found)}{more}"]
