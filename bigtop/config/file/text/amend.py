# Changes written into the text of a configuration, so that everything else in it stays as it is: order,
# comments, blank lines.
#
# Rule 1: pure: texts in, texts out. Rule 2: nothing is believed: who writes a file reads the new text first
# and compares what it comes to (launch/run/saving.py).

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bigtop.config.file.text import amend_ini, amend_toml
from bigtop.config.file.text.document import Document, Section
from bigtop.config.file.text.tomltext import Literal
from bigtop.record import Record


class Change(Record):
    """Of [kind:name], `key` in the words of INI becomes `value`; None: is no longer there.

    With `key` None it is the whole section that goes. A key of the free-form ones is `is_free`.
    """

    kind: str
    name: str
    key: str | None = None
    value: Literal | None = None
    is_free: bool = False


def amended(document: Document, changes: Sequence[Change], read: Callable[[str], str]) -> dict[str, str]:
    """Return the new text of each file that changes; `read` returns the text of a file as it is."""
    texts: dict[str, str] = {}
    change_text = _toml if document.path.endswith(".toml") else _ini
    for change in changes:
        for path in _files(document, change):
            before = texts[path] if path in texts else read(path)
            texts[path] = change_text(before, change)
    return texts


def _files(document: Document, change: Change) -> Sequence[str]:
    """Return where to write: where the key stands, else where its section begins, else the main file."""
    sections: Mapping[tuple[str, str], Section] = {(one.kind, one.name): one for one in document.sections}
    section = sections.get((change.kind, change.name))
    if section is None:
        return [document.path]
    entries = {**section.entries, **section.options}
    if change.key is None:
        return list(dict.fromkeys([section.place.file, *(entry.place.file for entry in entries.values())]))
    return [entries[change.key].place.file if change.key in entries else section.place.file]


def _ini(text: str, change: Change) -> str:
    title = f"{change.kind}:{change.name}"
    if change.key is None:
        return amend_ini.without_section(text, title)
    if change.value is None:
        return amend_ini.without(text, title, change.key)
    return amend_ini.put(text, title, change.key, change.value)


# What stands in a table of its own, as toml.py reads it; the first spelling is what is written anew.
_TABLES = {
    "hooks.": "hooks",
    "rlimit_": "rlimits",
    "flapping.": "flapping",
    "stdout_stream.": "stdout_stream",
    "stderr_stream.": "stderr_stream",
}


def _toml(text: str, change: Change) -> str:
    section = (change.kind, change.name)
    if change.key is None:
        return amend_toml.without(text, section)
    path = (*section, *_path(change))
    if path[:-1] == (*section, "rlimits") and (*section, change.key) in amend_toml.paths(text):
        path = (*section, change.key)  # rlimit_nofile = 1024 is right as well
    if change.value is None:
        return amend_toml.without(text, path)
    return amend_toml.put(text, path, change.value)


def _path(change: Change) -> tuple[str, ...]:
    assert change.key is not None
    if change.is_free:
        return ("options", change.key)
    for beginning, table in _TABLES.items():
        if change.key.startswith(beginning):
            return (table, change.key.removeprefix(beginning))
    return (change.key,)
