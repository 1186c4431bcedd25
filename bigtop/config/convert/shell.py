# A command as sh reads it, as far as no shell is needed for that.
#
# Rule: whatever only a shell can do (pipes, globs, substitutions, variables that nobody knows) makes words()
# return None, so that a shell is left to do it.

from __future__ import annotations

import re
from collections.abc import Mapping

_VARIABLE = r"\$(?:\{(?P<braced>\w+)(?P<otherwise>:?-[^${}`\"'\\]*)?\}|(?P<bare>[A-Za-z_]\w*))"
_PIECE = re.compile(
    r"(?P<blank>[ \t]+)"
    r"|'(?P<single>[^']*)'"
    r'|"(?P<double>(?:[^"\\]|\\.)*)"'
    r"|\\(?P<escaped>[^\n])"
    rf"|(?P<variable>{_VARIABLE})"
    r"|(?P<plain>[^\s'\"\\$`|&;<>()*?\[\]#~]+|(?<=\S)[#~])",
    re.DOTALL,
)
_INNER = re.compile(rf'\\(?P<escaped>["\\$`])|(?P<variable>{_VARIABLE})|(?P<special>[$`])', re.DOTALL)


class _NeedsShell(Exception):  # noqa: N818 - an answer, not an error
    pass


def words(line: str, variables: Mapping[str, str]) -> list[str] | None:
    """Return the words of a command, None if it takes a shell to tell them. `variables` are those that are
    known; one that is not known has its default, as in ${NAME:-default}, or needs a shell."""
    found: list[str] = []
    current: str | None = None
    position = 0
    while position < len(line):
        piece = _PIECE.match(line, position)
        if piece is None:
            return None
        position = piece.end()
        if piece["blank"] is not None:
            found += [] if current is None else [current]
            current = None
            continue
        try:
            current = (current or "") + _text(piece, variables)
        except _NeedsShell:
            return None
    return found + ([] if current is None else [current])


def _text(piece: re.Match[str], variables: Mapping[str, str]) -> str:
    if piece["variable"] is not None:
        value = _value(piece, variables)
        if not re.fullmatch(r"[^\s*?\[]+", value):  # which would be split, or be a pattern
            raise _NeedsShell
        return value
    if piece["double"] is not None:
        return _INNER.sub(lambda inner: _inside(inner, variables), piece["double"])
    return next(text for name in ("single", "escaped", "plain") if (text := piece[name]) is not None)


def _inside(inner: re.Match[str], variables: Mapping[str, str]) -> str:
    if inner["special"] is not None:
        raise _NeedsShell
    return inner["escaped"] if inner["escaped"] is not None else _value(inner, variables)


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    value = variables.get(match["braced"] or match["bare"])
    otherwise = match["otherwise"]
    if otherwise is not None and (value is None or (not value and otherwise.startswith(":"))):
        return otherwise.lstrip(":").removeprefix("-")
    if value is None:
        raise _NeedsShell
    return value


def names(line: str) -> list[str]:
    """Return the variables that a command names."""
    return [match["braced"] or match["bare"] for match in re.finditer(_VARIABLE, line)]
