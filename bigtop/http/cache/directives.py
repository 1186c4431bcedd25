# Directives of Cache-Control (RFC 9111, 5.2), as requests and answers say them.
#
# Rule: what cannot be understood makes an answer less durable, never more: a number that is none is 0, of
# two the smaller one counts, and a quotation mark that is not closed hides nothing.

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

LONGEST: Final = 365 * 24 * 3600  # seconds; whoever says more means for ever

_DIRECTIVE: Final = re.compile(
    r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^,]*)))?", re.ASCII
)
_NUMBER: Final = re.compile(r"[0-9]+", re.ASCII)


def directives_of(lines: Iterable[str]) -> dict[str, str]:
    """Return the directives by their names in lower case; the value is "" where there is none."""
    found: dict[str, str] = {}
    for line in lines:
        for match in _DIRECTIVE.finditer(line):
            name, quoted, plain = match[1].lower(), match[2], match[3]
            value = quoted if quoted is not None else (plain or "").strip()
            if name in found and _seconds(found[name]) <= _seconds(value):
                continue
            found[name] = value
    return found


def seconds_of(directives: dict[str, str], name: str) -> int:
    """Return the seconds that a directive gives, 0 where it is not there or makes no sense."""
    return _seconds(directives[name]) if name in directives else 0


def _seconds(text: str) -> int:
    return min(LONGEST, int(text[:12])) if _NUMBER.fullmatch(text) is not None else 0
