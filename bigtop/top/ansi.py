# Lines of a screen as text for a terminal, with or without colours. Pure.

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bigtop.top import screen
from bigtop.top.screen import Line

_CODES: Final = {
    screen.DIM: "2",
    screen.BOLD: "1",
    screen.GOOD: "32",
    screen.WARN: "33",
    screen.BAD: "1;31",
}


def painter(*, is_coloured: bool) -> Callable[[Line], str]:
    """Return what makes a text of a line."""
    return _painted if is_coloured else screen.text_of


def _painted(line: Line) -> str:
    return "".join(f"\033[{_CODES[style]}m{text}\033[0m" if style in _CODES else text for text, style in line)
