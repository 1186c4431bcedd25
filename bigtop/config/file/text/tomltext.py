# Writing TOML: just what `bigtop convert` needs.

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from bigtop.errors import one_line
from bigtop.record import Record, field

Literal = str | int | float | bool | list[str]


def literal(value: Literal) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case list():
            return f"[{', '.join(map(literal, value))}]"
        case str():
            # JSON's escapes are TOML's, but DEL has to be escaped here as well.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else literal(name)


class Table(Record, frozen=False):
    """[path], its keys, its notes, and the tables inside it."""

    path: tuple[str, ...]
    keys: dict[str, Literal] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)  # comments, above the keys
    inner: dict[str, dict[str, Literal]] = field(default_factory=dict)

    def put(self, table: str, name: str, value: Literal) -> None:
        """Set a key of a table inside this one."""
        self.inner.setdefault(table, {})[name] = value

    def lines(self) -> Iterable[str]:
        yield f"[{'.'.join(map(key, self.path))}]"
        yield from comment(self.notes)
        yield from assignments(self.keys)
        for name, keys in self.inner.items():
            yield ""
            yield f"[{'.'.join(map(key, (*self.path, name)))}]"
            yield from assignments(keys)


def assignments(keys: Mapping[str, Literal]) -> Iterable[str]:
    return (f"{key(name)} = {literal(value)}" for name, value in keys.items())


def comment(notes: Iterable[str]) -> Iterable[str]:
    return (f"# {_visible(line)}".rstrip() for note in notes for line in note.splitlines() or [""])


def _visible(line: str) -> str:
    """Return a line without characters that may not stand in a comment."""
    return "\t".join(map(one_line, line.split("\t")))


def page(head: Iterable[str], tables: Iterable[Table]) -> str:
    """Return a whole file."""
    blocks = ["\n".join(comment(head)), *("\n".join(table.lines()) for table in tables)]
    return "\n\n".join(block for block in blocks if block) + "\n"
