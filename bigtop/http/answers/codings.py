# Content codings: which of those that are on offer a client takes (RFC 9110, 12.5.3), and the words for them.
#
# Rule: a pure function of field values. What cannot be understood is not taken; the answer is then as it is.

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

CODINGS: Final = ("zstd", "br", "gzip")  # the best first, for what is encoded while a client waits

_QUALITY: Final = re.compile(r"(0(\.[0-9]{0,3})?|1(\.0{0,3})?)", re.ASCII)
_ALIASES: Final = {"x-gzip": "gzip"}


@lru_cache(maxsize=512)
def taken(accept: bytes, offered: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of `offered` that a client takes according to its Accept-Encoding, the best one first: the
    one that it likes best, and among equals the first of `offered`.

    Those which it likes less than the body as it is are left out.
    """
    weights: dict[str, float] = {}
    for element in accept.decode("latin-1").lower().split(","):
        name, *parameters = [part.strip() for part in element.split(";")]
        weights[_ALIASES.get(name, name)] = _weight(parameters)
    rest = weights.get("*", 0.0)
    plain = weights.get("identity", 0.0)
    found = [name for name in offered if (weight := weights.get(name, rest)) > 0 and weight >= plain]
    return tuple(sorted(found, key=lambda name: -weights.get(name, rest)))


def _weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return float(value) if _QUALITY.fullmatch(value.strip()) else 0.0
    return 1.0
