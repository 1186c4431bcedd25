# Comments of the new file on what the old one says and this one does not.

from __future__ import annotations

import json

from bigtop.errors import one_line


def no_equal(said: str, why: str = "") -> str:
    """Return the line about what is missed: `why` says what to use instead."""
    return one_line(f"no equal: {said}" + (f" ({why})" if why else ""))


def not_needed(said: str, why: str) -> str:
    """Return the line about what nobody misses."""
    return one_line(f"not needed: {said} ({why})")


def shown(value: object) -> str:
    """Return a value as one reads it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
