# TOML with the vocabulary of the INI file: [circus] or [bigtop], [watcher.NAME], [socket.NAME],
# [plugin.NAME], [app.NAME], [app.NAME.paths."PATH"] (in INI [path:NAME:PATH]), [env], [env.NAME].
#
# tomllib tells what a file says but not where, so a scan of our own finds the line of each key. It runs after
# tomllib has accepted the file, so it may take correct syntax for granted.

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping

from bigtop.config.file.text.document import Document, Entry, Place, Problems, Section
from bigtop.config.file.text.includes import included
from bigtop.config.file.text.ini import NOTHING, text_of
from bigtop.config.file.text.key import suggestion
from bigtop.record import Record, replace

_Path = tuple[str, ...]
_Table = Mapping[str, object]

_KINDS = (
    "circus",
    "bigtop",
    "watcher",
    "socket",
    "plugin",
    "app",
    "env",
    "stats",
    "admin",
    "web",
    "cluster",
    "tls",
)
# Tables inside a section, and what their keys are called in an INI file.
_NESTED = {
    "hooks": "hooks.",
    "rlimits": "rlimit_",
    "flapping": "flapping.",
    "stdout_stream": "stdout_stream.",
    "stderr_stream": "stderr_stream.",
}
_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED = rf"{_PART}(?:\s*\.\s*{_PART})*"
_LINE = re.compile(rf"[ \t]*(?:\[\s*(?P<table>{_DOTTED})\s*\]|(?P<key>{_DOTTED})\s*=)")
# What a value may hold in which brackets, # and line ends mean nothing; then what matters.
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*|[\[{\]}\n]',
    re.DOTALL,
)


def read(
    path: str, environ: Mapping[str, str], problems: Problems, drafts: Mapping[str, str] = NOTHING
) -> Document:
    """Read `path` and what its [circus] table includes; mistakes go to `problems`.

    As in INI, a table that is repeated in another file is continued, and the first value of a key counts.
    """
    sections = {section.title: section for section in _read_one(path, Place(path, 1), problems, drafts)}
    circus = sections["circus"].entries if "circus" in sections else {}
    for further, place in included(path, circus, environ, problems):
        for section in _read_one(further, place, problems, drafts):
            first = sections.get(section.title, section)
            sections[section.title] = replace(
                first,
                entries={**section.entries, **first.entries},
                options={**section.options, **first.options},
            )
    return Document(path, True, tuple(sections.values()))


def of_tables(source: str, tables: _Table, problems: Problems) -> Document:
    """Return what a program gave instead of a file, as tomllib would have read it; `source` names it."""
    return Document(source, True, tuple(_Reader(source, {}, problems).sections(tables)))


def _read_one(path: str, asked_for: Place, problems: Problems, drafts: Mapping[str, str]) -> list[Section]:
    text = text_of(path, problems, asked_for, drafts)
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, _, where = str(error).partition(" (at ")
        line = re.search(r"line ([0-9]+)", where)
        number = int(line[1]) if line else text.count("\n") + 1
        problems.error(Place(path, number), f"is not TOML: {message}")
        return []
    return list(_Reader(path, _lines(text), problems).sections(tables))


class Statement(Record):
    """[path], or path = value; the numbers are positions in the text."""

    path: _Path
    is_table: bool
    start: int
    value: int  # behind the =
    value_end: int  # before a comment, or the line end
    end: int  # behind the line end


def statements(text: str) -> Iterator[Statement]:
    """Return the statements of a text that tomllib accepts, in order."""
    table: _Path = ()
    position = 0
    while position < len(text):
        match = _LINE.match(text, position)
        value_end, end = _ends(text, match.end() if match else position)
        if match:
            keys = match["table"] or match["key"]
            path = tuple(_unquoted(part) for part in re.findall(_PART, keys))
            table, path = (path, path) if match["table"] else (table, table + path)
            yield Statement(path, bool(match["table"]), position, match.end(), value_end, end)
        position = end


def _lines(text: str) -> dict[_Path, int]:
    """Return the line of each table and key, by its path."""
    found: dict[_Path, int] = {}
    line, counted = 1, 0
    for one in statements(text):
        line, counted = line + text.count("\n", counted, one.start), one.start
        for depth in range(1, len(one.path) + 1):
            found.setdefault(one.path[:depth], line)
    return found


def _ends(text: str, position: int) -> tuple[int, int]:
    """Return the end of the value around `position` and the position after the line end behind it."""
    depth = 0
    end: int | None = None
    for token in _TOKEN.finditer(text, position):
        if token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth -= 1
        elif depth <= 0 and token[0][0] in "#\n":
            if end is None:
                end = position + len(text[position : token.start()].rstrip(" \t"))
            if token[0] == "\n":
                return end, token.end()
    return len(text) if end is None else end, len(text)


def _unquoted(part: str) -> str:
    return next(iter(tomllib.loads(f"{part} = 0")))


class _Reader:
    def __init__(self, path: str, lines: Mapping[_Path, int], problems: Problems) -> None:
        self._path = path
        self._lines = lines
        self._problems = problems

    def sections(self, tables: _Table) -> Iterator[Section]:
        if "circus" in tables and "bigtop" in tables:
            self._error(("bigtop",), "[bigtop] is another name of [circus]; have one of them")
        for kind, table in tables.items():
            if kind not in _KINDS:
                self._error((kind,), f"unknown table [{kind}]{suggestion(kind, _KINDS)}")
            elif not isinstance(table, Mapping):
                self._error((kind,), f"must be a table, [{kind}], got {table!r}")
            elif kind in ("circus", "bigtop"):
                yield Section("circus", "", self._place((kind,)), self._entries(table, (kind,)))
            elif kind in ("stats", "admin", "web", "cluster", "tls"):
                yield Section(kind, "", self._place((kind,)), self._entries(table, (kind,)))
            elif kind == "env":
                yield from self._env(table)
            else:
                yield from self._named(kind, table)

    def _named(self, kind: str, table: _Table) -> Iterator[Section]:
        for name, keys in table.items():
            path = (kind, name)
            if not isinstance(keys, Mapping):
                self._error(path, f"must stand in a table with a name, such as [{kind}.web]")
                continue
            apart = ("options", "paths") if kind == "app" else ("options",)
            own = {key: value for key, value in keys.items() if key not in apart}
            options: object = keys.get("options", {})
            if not isinstance(options, Mapping):
                self._error((*path, "options"), "must be a table of free-form options")
                options = {}
            yield Section(
                kind,
                name.lower() if kind == "socket" else name,
                self._place(path),
                self._entries(own, path),
                self._entries(options, (*path, "options")),
            )
            if kind == "app":
                yield from self._paths(name, keys.get("paths", {}))

    def _paths(self, app: str, tables: object) -> Iterator[Section]:
        """Return what is said by path of an application."""
        path = ("app", app, "paths")
        if not isinstance(tables, Mapping):
            self._error(path, f'must be tables, such as [app.{app}.paths."/api/"]')
            return
        for pattern, keys in tables.items():
            here = (*path, pattern)
            if isinstance(keys, Mapping):
                yield Section("path", f"{app}:{pattern}", self._place(here), self._entries(keys, here))
            else:
                self._error(
                    here, f'must be a table with a path as its name, such as [app.{app}.paths."/api/"]'
                )

    def _env(self, table: _Table) -> Iterator[Section]:
        shared = {name: value for name, value in table.items() if not isinstance(value, Mapping)}
        yield Section("env", "", self._place(("env",)), self._entries(shared, ("env",)))
        for name, variables in table.items():
            if isinstance(variables, Mapping):
                path = ("env", name)
                yield Section("env", name, self._place(path), self._entries(variables, path))

    def _entries(self, table: _Table, path: _Path) -> dict[str, Entry]:
        """Return the entries of one section, with those of nested tables under their INI names."""
        entries: dict[str, Entry] = {}
        for key, value in table.items():
            here = (*path, key)
            if isinstance(value, Mapping) and key in _NESTED:
                inner = self._entries(value, here)
                entries |= {_NESTED[key] + name: entry for name, entry in inner.items()}
            elif isinstance(value, Mapping) and path[0] != "app":
                self._error(here, f"{key} cannot be a table here")
            else:
                try:
                    entries[key] = self._entry(value, here)
                except ValueError as error:
                    self._error(here, f"{key}: {error}")
        return entries

    def _entry(self, value: object, path: _Path) -> Entry:
        place = self._place(path)
        match value:
            case list() if path[0] == "env" or "options" in path[2:]:
                raise ValueError(f"must be a text or a number here, got {value!r}")
            case list():
                return Entry(tuple(map(_text, value)), place, is_list=True)
            case Mapping():  # env = {NAME = "value"} of an app
                return Entry(
                    tuple(f"{name}={_text(item)}" for name, item in value.items()), place, is_list=True
                )
            case _:
                is_number = isinstance(value, int | float) and not isinstance(value, bool)
                return Entry((_text(value),), place, is_number=is_number)

    def _place(self, path: _Path) -> Place:
        """Return where a key stands; one inside an inline table stands where that table begins."""
        while path and path not in self._lines:
            path = path[:-1]
        return Place(self._path, self._lines.get(path, 1))

    def _error(self, path: _Path, message: str) -> None:
        self._problems.error(self._place(path), message)


def _text(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str() | int():
            return str(value)
        case float() if abs(value) < 1e15:
            return repr(value) if "e" not in repr(value) else f"{value:f}"
    raise ValueError(f"must be a text, a number, true or false, or a list of these, got {value!r}")
