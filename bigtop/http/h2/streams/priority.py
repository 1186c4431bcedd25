# Priorities of answers (RFC 9218): what the field `priority` and PRIORITY_UPDATE say.

from __future__ import annotations

import re
from typing import Final, NamedTuple

LEVELS: Final = 8  # of urgency; 0 goes first
_URGENCY: Final = re.compile(rb"u=([0-7])")
_LONGEST: Final = 256  # bytes of what is looked at


class Priority(NamedTuple):
    """Answers of one urgency take turns if they are `incremental`; others go one after the other."""

    urgency: int
    incremental: bool


# A client that says nothing is no browser: it wants what it asked for, and none of it last.
UNSAID: Final = Priority(3, True)


def read_priority(text: bytes) -> Priority:
    """Return what a client says; what is no priority, or no known one, is passed over (RFC 9218, 4)."""
    urgency, incremental = 3, False
    for item in text[:_LONGEST].split(b","):
        word = item.partition(b";")[0].strip(b" \t")
        if (match := _URGENCY.fullmatch(word)) is not None:
            urgency = int(match[1])
        elif word in (b"i", b"i=?1"):
            incremental = True
        elif word == b"i=?0":
            incremental = False
    return Priority(urgency, incremental)
