# Keys and tables of a TOML text, changed in place.

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

from bigtop.config.file.text import tomltext
from bigtop.config.file.text.toml import Statement, statements
from bigtop.config.file.text.tomltext import Literal

Path = tuple[str, ...]


def paths(text: str) -> set[Path]:
    return {one.path for one in statements(text)}


def put(text: str, path: Path, value: Literal) -> str:
    """Return `text` with the key at `path` set: where it stands, in its table, or in a new one."""
    found = list(statements(text))
    keys = {one.path: one for one in found if not one.is_table}
    for depth in range(len(path), 0, -1):  # the key, or an inline table around it
        if (one := keys.get(path[:depth])) is not None:
            return _with_value(
                text, one, tomltext.literal(value) if depth == len(path) else _inline(text, one, path, value)
            )
    tables = {one.path: index for index, one in enumerate(found) if one.is_table}
    for depth in range(len(path) - 1, 1, -1):
        if path[:depth] in tables:
            end = _end_of_keys(found, tables[path[:depth]])
            return _inserted(text, end, f"{_dotted(path[depth:])} = {tomltext.literal(value)}")
    depth = 2 if len(path) > 2 else 1
    table = f"[{_dotted(path[:depth])}]\n{_dotted(path[depth:])} = {tomltext.literal(value)}\n"
    return f"{text.rstrip()}\n\n{table}".lstrip("\n")


def without(text: str, path: Path) -> str:
    """Return `text` without the key or table at `path`; comments between the keys of a table go with it."""
    gone: list[tuple[int, int]] = []
    last: Statement | None = None
    for one in statements(text):
        if one.path[: len(path)] == path:
            begin = gone.pop()[0] if last and gone and gone[-1][1] == last.end else one.start
            gone.append((begin, one.end))
        last = one
    for begin, end in reversed(gone):
        text = text[:begin] + text[end:]
    if not gone:
        for one in statements(text):
            if not one.is_table and path[: len(one.path)] == one.path:
                return _with_value(text, one, _inline(text, one, path, None))
    return text


def _dotted(path: Path) -> str:
    return ".".join(map(tomltext.key, path))


def _end_of_keys(found: list[Statement], index: int) -> int:
    """Return where the last key of a table ends, or its header."""
    while index + 1 < len(found) and not found[index + 1].is_table:
        index += 1
    return found[index].end


def _inserted(text: str, at: int, line: str) -> str:
    before = text[:at] if text[:at].endswith("\n") else f"{text[:at]}\n"
    return f"{before}{line}\n{text[at:]}"


def _with_value(text: str, one: Statement, value: str) -> str:
    """Return `text` with another value in a statement; a comment behind it stays."""
    return f"{text[: one.value]} {value}{text[one.value_end : one.end]}{text[one.end :]}"


def _inline(text: str, one: Statement, path: Path, value: Literal | None) -> str:
    """Return the inline table of a statement with the key at `path`, which is inside it, set or taken out."""
    whole: dict[str, Any] = tomllib.loads(f"x = {text[one.value : one.value_end].strip()}")
    table = whole["x"]
    for name in path[len(one.path) : -1]:
        table = table.setdefault(name, {})
    if value is None:
        table.pop(path[-1], None)
    else:
        table[path[-1]] = value
    return _table(whole["x"])


def _table(table: Mapping[str, Any]) -> str:
    members = (
        f"{tomltext.key(name)} = {_table(item) if isinstance(item, Mapping) else tomltext.literal(item)}"
        for name, item in table.items()
    )
    return "{ " + ", ".join(members) + " }"
