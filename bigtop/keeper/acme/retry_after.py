# Retry-After: when a server wants to be asked again (RFC 9110, 10.2.3).

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST: Final = 7 * 86400.0  # seconds: what is further away is not believed


def read(fields: Mapping[str, str], now: float) -> float | None:
    """Return the time, in seconds since 1970, at which a server wants to be asked again; None: it says
    nothing that can be understood."""
    text = fields.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:12])
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return None
    return now + min(max(seconds, 0.0), LONGEST)
