# Figures as few characters: sizes, spans of time, shares, bars, sparklines.
#
# Rule: pure, and no more characters than a column has; what is not known is a dash.

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Final

UNKNOWN: Final = "-"
_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_FULL, _EMPTY = "■", "·"


def size(count: float | None) -> str:
    """Return at most five characters: 12, 3.4K, 56M, 7.8G."""
    if count is None:
        return UNKNOWN
    units = ["", "K", "M", "G", "T", "P"]
    while count >= 999.5 and len(units) > 1:
        count /= 1024
        units.pop(0)
    unit = units[0]
    return f"{count:.1f}{unit}" if unit and count < 9.95 else f"{count:.0f}{unit}"


def span(seconds: float | None) -> str:
    """Return at most five characters: 0.3s, 41s, 5m06, 4h05, 3d4h, 120d."""
    if seconds is None:
        return UNKNOWN
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}"
    if whole < 86400:
        return f"{whole // 3600}h{whole // 60 % 60:02}"
    days = whole // 86400
    return f"{days}d{whole // 3600 % 24}h" if days < 10 else f"{min(days, 9999)}d"


def short(seconds: float | None) -> str:
    """Return at most five characters: 350µ, 4.1ms, 41ms, 1.2s, 41s, 5m06."""
    if seconds is None:
        return UNKNOWN
    if seconds < 0.0009995:
        return f"{seconds * 1e6:.0f}µs"
    if seconds < 0.9995:
        return f"{seconds * 1000:.1f}ms" if seconds < 0.00995 else f"{seconds * 1000:.0f}ms"
    return span(seconds)


def number(value: float | None) -> str:
    """Return at most five characters: 0, 0.4, 31, 1234, 56k."""
    if value is None:
        return UNKNOWN
    if value >= 99_950:
        return f"{value / 1e6:.1f}M" if value < 9.95e6 else f"{min(value / 1e6, 9999):.0f}M"
    if value >= 9_999.5:
        return f"{value / 1000:.0f}k"
    return f"{value:.1f}" if value < 99.95 and value != int(value) else f"{value:.0f}"


def count(value: int | None) -> str:
    return number(value)


def bar(part: float | None, whole: float | None, width: int) -> str:
    """Return a bar that is as full as the share; at least one mark for what is more than nothing."""
    if part is None or not whole:
        return " " * width
    filled = min(width, max(int(part > 0), round(width * part / whole)))
    return _FULL * filled + _EMPTY * (width - filled)


def sparkline(values: Sequence[float], width: int) -> str:
    """Return the last `width` values as blocks, the highest of them as the full one; the newest is at the
    right."""
    shown = values[-width:]
    top = max(shown, default=0.0)
    blocks = "".join(
        _BLOCKS[min(len(_BLOCKS) - 1, int(value / top * len(_BLOCKS)))] if top > 0 else _BLOCKS[0]
        for value in shown
    )
    return blocks.rjust(width)


def cells(text: str) -> int:
    """Return how many places of a terminal a text takes."""
    return sum(_cell(char) for char in text)


def _cell(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) == "Cf":
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cleaned(text: str) -> str:
    """Return a text without what would move the cursor: each such character is a question mark."""
    return "".join("?" if unicodedata.category(char) == "Cc" else char for char in text)


def fitted(text: str, width: int, *, right: bool = False) -> str:
    """Return a text of exactly so many places: filled up, or cut with an ellipsis. What would move the
    cursor is a question mark."""
    text = cleaned(text)
    if (needed := cells(text)) <= width:
        filling = " " * (width - needed)
        return filling + text if right else text + filling
    if width <= 0:
        return ""
    kept, taken = "", 0
    for char in text:
        if taken + _cell(char) > width - 1:
            break
        kept, taken = kept + char, taken + _cell(char)
    return kept + "…" + " " * (width - 1 - taken)
