# Keys and sections of an INI text, changed in place. The dialect is that of ini.py: the first value counts.

from __future__ import annotations

import re
import shlex

from bigtop.config.file.text.ini import HEADER, OPTION, is_comment
from bigtop.config.file.text.tomltext import Literal

_NOTE = re.compile(r"\s+;.*$")


def put(text: str, title: str, key: str, value: Literal) -> str:
    """Return `text` with `key` of section `title` set; a section that is not there is added at the end."""
    lines = text.split("\n")
    if (at := _find(lines, title, key)) is not None:
        note = _NOTE.search(lines[at])
        lines[at] = _line(key, value, lines[at]) + (note[0] if note else "")
        del lines[at + 1 : _end_of_value(lines, at)]
        return "\n".join(lines)
    blocks = _blocks(lines, title)
    if not blocks:
        return f"{text.rstrip()}\n\n[{title}]\n{_line(key, value)}\n".lstrip("\n")
    begin, end = blocks[0]
    last = max((n for n in range(begin, end) if not is_comment(lines[n])), default=begin)
    like = next((lines[n] for n in range(begin + 1, end) if _key_of(lines[n])), "")
    lines.insert(last + 1, _line(key, value, like))
    return "\n".join(lines)


def without(text: str, title: str, key: str) -> str:
    lines = text.split("\n")
    if (at := _find(lines, title, key)) is not None:
        del lines[at : _end_of_value(lines, at)]
    return "\n".join(lines)


def without_section(text: str, title: str) -> str:
    """Return `text` without the section; what stands right above the next one belongs to that."""
    lines = text.split("\n")
    for begin, end in reversed(_blocks(lines, title)):
        while end < len(lines) and end > begin + 1 and lines[end - 1].strip() and is_comment(lines[end - 1]):
            end -= 1
        del lines[begin:end]
    return "\n".join(lines).rstrip("\n") + "\n"


def _blocks(lines: list[str], title: str) -> list[tuple[int, int]]:
    """Return first line and end of each part of a section."""
    starts = [(n, match["header"]) for n, line in enumerate(lines) if (match := HEADER.match(line))]
    ends = [*(n for n, _ in starts[1:]), len(lines)]
    return [(n, end) for (n, header), end in zip(starts, ends, strict=False) if header == title]


def _find(lines: list[str], title: str, key: str) -> int | None:
    for begin, end in _blocks(lines, title):
        for number in range(begin + 1, end):
            if _key_of(lines[number]) == key:
                return number
    return None


def _key_of(line: str) -> str:
    """Return the key that begins on a line, "" for any other line."""
    if is_comment(line) or line[0].isspace():
        return ""
    match = OPTION.match(line)
    return match["key"].rstrip() if match else ""


def _end_of_value(lines: list[str], at: int) -> int:
    """Return the end of the lines that continue the value which begins on line `at`."""
    end = at + 1
    while end < len(lines) and not is_comment(lines[end]) and lines[end][0].isspace():
        end += 1
    return end


def _line(key: str, value: Literal, like: str = "") -> str:
    """Return key and value with the signs between them that `like` has."""
    match = re.match(r"[^=:]*?(\s*[=:][ \t]*)", like)
    between = match[1] if match else " = "
    return f"{key}{between}{_written(value)}"


def _written(value: Literal) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return shlex.join(value)
    return str(value) or '""'
