# Terminal: what it shows.

from __future__ import annotations

import os


def shows_colours(fd: int) -> bool:
    """Whether `fd` is a terminal with colours, and nobody objects (https://no-color.org)."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb"
    return not plain and os.isatty(fd)
