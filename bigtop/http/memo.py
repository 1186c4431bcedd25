# Memory of what was made of requests and answers: clients and applications say the same again and again.
#
# Rule: a bounded number of each kind, and nothing long, so that no stranger makes memory grow. It is a dict
# that is emptied when it is full: looking something up costs a third of what functools.lru_cache asks for it,
# and what is in use comes back at once. Any thread may look and remember.

from __future__ import annotations

from typing import Final, TypeVar

KEPT: Final = 512  # of a kind
LONGEST: Final = 2048  # bytes of what is looked up
LONGEST_NAME: Final = 64  # bytes of a field name
MOST_FIELDS: Final = 64  # of a header: what is made of a field takes more room than a short field itself

Key = TypeVar("Key")
Value = TypeVar("Value")


def remember(known: dict[Key, Value], key: Key, value: Value) -> None:
    """Keep what was made of `key`; when there are too many, all others are forgotten."""
    if len(known) >= KEPT:
        known.clear()
    known[key] = value
