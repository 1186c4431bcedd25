# Words of a command line that is being written, and words as they are written into one.
#
# Rule: quoting follows the user: what was begun with a quote goes on with it, all else gets backslashes.

from __future__ import annotations

from typing import NamedTuple

# What has a meaning of its own in bash, unless it is quoted; also for shlex, which knows fewer of them.
_SPECIAL = frozenset(" \t\"'\\$`!&;|<>()*?[]{}~#^")
_SPECIAL_IN_DOUBLE = {"bash": '"\\$`', "shlex": '"\\'}


class Unfinished(NamedTuple):
    """A line: the words that are complete, and the last one, which begins at `start` and may be open."""

    words: list[str]
    last: str
    start: int
    quote: str  # the one that is open, or ""


def unfinished(line: str) -> Unfinished:
    words: list[str] = []
    last: str | None = None
    start, quote, escaped = len(line), "", False
    for index, char in enumerate(line):
        if last is None and not char.isspace():
            last, start = "", index
        if last is None:
            continue
        if escaped:
            last += char if not quote or char in _SPECIAL_IN_DOUBLE["bash"] else "\\" + char
            escaped = False
        elif char == "\\" and quote != "'":
            escaped = True
        elif char == quote:
            quote = ""
        elif not quote and char in "\"'":
            quote = char
        elif not quote and char.isspace():
            words.append(last)
            last, start = None, len(line)
        else:
            last += char
    return Unfinished(words, last or "", start, quote)


def quoted(word: str, quote: str, reader: str) -> str:
    """Return `word` as it stands behind an opening `quote`, or without one, for "bash" or "shlex"."""
    if quote == "'":
        return word.replace("'", "'\\''")
    special = _SPECIAL_IN_DOUBLE[reader] if quote else _SPECIAL
    return "".join("\\" + char if char in special else char for char in word)
