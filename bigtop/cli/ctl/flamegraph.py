# A flame graph: stacks that were seen, drawn as an SVG in which each frame is as wide as it was often seen.
#
# Rule: pure, and a picture alone: no script in it, so it can be opened and mailed without a second thought.
# A frame that is too narrow for its name shows it when the mouse is over it.

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from xml.sax.saxutils import escape

_WIDTH = 1200.0
_ROW = 18
_MARGIN = 10
_TITLE = 34
_CHARACTER = 6.6  # pixels, of the font below
_NARROWEST = 0.3  # pixels; what is less cannot be seen


class _Node:
    __slots__ = ("below", "count", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0
        self.below: dict[str, _Node] = {}

    def add(self, frames: list[str], count: int) -> None:
        node = self
        node.count += count
        for frame in frames:
            node = node.below.setdefault(frame, _Node(frame))
            node.count += count


def svg(stacks: Mapping[str, int], title: str) -> str:
    """Return the picture of stacks: frames joined by ";", outermost first, and how often each was seen."""
    root = _Node("all")
    for words, count in stacks.items():
        root.add(words.split(";"), count)
    wide = _WIDTH + 2 * _MARGIN
    boxes = list(_boxes(root, 0.0, 0, _WIDTH / root.count)) if root.count else []
    depth = max((row for row, *_ in boxes), default=0) + 1
    height = _TITLE + depth * _ROW + _MARGIN
    place = f'viewBox="0 0 {wide:.0f} {height}" width="{wide:.0f}" height="{height}"'
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" {place} font-family="monospace" font-size="11">',
        '<rect width="100%" height="100%" fill="#fdfdfb"/>',
        f'<text x="{_MARGIN}" y="22" font-size="14">{escape(title)}</text>',
        *(_box(row, x, width, node, root.count) for row, x, width, node in boxes),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _boxes(node: _Node, x: float, row: int, scale: float) -> Iterator[tuple[int, float, float, _Node]]:
    waiting = [(node, x, row)]
    while waiting:
        one, left, depth = waiting.pop()
        width = one.count * scale
        if width < _NARROWEST:
            continue
        yield depth, left, width, one
        for name in sorted(one.below):
            below = one.below[name]
            waiting.append((below, left, depth + 1))
            left += below.count * scale


def _box(row: int, x: float, width: float, node: _Node, total: int) -> str:
    left, top = _MARGIN + x, _TITLE + row * _ROW
    letters = int((width - 6) / _CHARACTER)
    name = node.name if len(node.name) <= letters else node.name[: letters - 2] + ".." if letters > 4 else ""
    text = f'<text x="{left + 3:.1f}" y="{top + 13}">{escape(name)}</text>' if name else ""
    share = f"{escape(node.name)}: {node.count} looks, {100 * node.count / total:.1f}%"
    place = f'x="{left:.1f}" y="{top}" width="{width:.1f}" height="{_ROW - 1}"'
    return f'<g><title>{share}</title><rect {place} rx="2" fill="{_colour(node.name)}"/>{text}</g>'


def _colour(name: str) -> str:
    """Return a warm colour, the same for a name in every picture."""
    number = zlib.crc32(name.encode())
    return f"hsl({number % 50},{70 + number // 50 % 25}%,{62 + number // 1250 % 12}%)"
