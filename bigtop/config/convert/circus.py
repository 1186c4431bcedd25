# A Circus INI file as TOML that means the same.
#
# What an INI file says by saying nothing (its endpoints) is written down. Dead keys stay as comments.
# $(circus.…) and $NAME stay as they are: they are expanded when the new file is read.

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from bigtop.config.file.options import daemon_options as d
from bigtop.config.file.options import stats_options as st
from bigtop.config.file.options import web_options as w
from bigtop.config.file.options.watcher_options import WATCHER
from bigtop.config.file.text.document import Document, Entry, Section
from bigtop.config.file.text.expand import as_in_toml
from bigtop.config.file.text.key import Key
from bigtop.config.file.text.tomltext import Literal, Table, page
from bigtop.config.serve.values.values import SWITCH_WORDS

# How the keys of nested tables begin in an INI file.
_NESTED = {
    "hooks.": "hooks",
    "rlimit_": "rlimits",
    "flapping.": "flapping",
    "stdout_stream.": "stdout_stream",
    "stderr_stream.": "stderr_stream",
}
_TABLES: Mapping[str, tuple[Key[object], ...]] = {
    "circus": d.CIRCUS,
    "stats": st.STATS,
    "admin": st.ADMIN_KEYS,
    "web": w.WEB,
    "socket": d.SOCKET,
    "watcher": WATCHER,
    "plugin": (*d.PLUGIN, *WATCHER),
}
_NUMBERS = ("N", "N|auto", "N|N..M|auto", "SECONDS", "PORT")


def from_ini(document: Document) -> str:
    """Return TOML with the sections of an INI file, in its order, what it includes among them."""
    circus = _table(document.only("circus"))
    # The file's own directives have been followed.
    circus.keys = {
        name: value for name, value in circus.keys.items() if name not in ("include", "include_dir")
    }
    circus.keys = {**d.INI_ENDPOINTS, **circus.keys}
    if "stats_endpoint" in document.only("circus").entries:
        circus.keys["statsd"] = True
    shared = document.only("env").entries
    tables = [circus]
    tables += [Table(("env",), _variables(shared))] if shared else []
    unknown = []
    for section in document.sections:
        if section.kind == "env" and section.name:
            tables.append(_env(section, shared))
        elif section.kind in ("app", "tls"):
            tables.append(_app(section))
        elif section.kind in ("stats", "admin", "web") or (section.kind in _TABLES and section.name):
            tables.append(_table(section))
        elif section.kind not in ("circus", "env"):
            unknown.append(f"[{section.kind}] at {section.place} means nothing to Circus and was left out.")
    return page([f"Made from {Path(document.path).name} by bigtop convert.", *unknown], tables)


def _env(section: Section, shared: Mapping[str, Entry]) -> Table:
    # [env] x = 1 and [env:x] are two things in INI, but one name in TOML; the pattern "x," means the same.
    name = f"{section.name}," if section.name in shared else section.name
    return Table(("env", name), _variables(section.entries))


def _variables(entries: Mapping[str, Entry]) -> dict[str, Literal]:
    return {name: as_in_toml(entry.text) for name, entry in entries.items()}


def _app(section: Section) -> Table:
    table = Table((section.kind, section.name) if section.name else (section.kind,))
    options = {name: option for option in d.APP_OPTIONS for name in (option.name, option.also) if name}
    for name, entry in section.entries.items():
        option = options.get(name)
        if option and option.many:
            table.keys[name] = entry.text.split()
        elif name in ("sockets", "depends"):
            table.keys[name] = [part.strip() for part in entry.text.split(",") if part.strip()]
        else:
            table.keys[name] = entry.text
    return table


def _table(section: Section) -> Table:
    table = Table((section.kind, section.name) if section.name else (section.kind,))
    known = {key.name: key for key in _TABLES[section.kind]}
    for name, entry in section.entries.items():
        key = known.get(name)
        nest = next((prefix for prefix in _NESTED if name.startswith(prefix)), None)
        if key is not None and key.is_dead:
            table.notes.append(f"{name} = {entry.text} did nothing: {key.help}.")
        elif nest and (key or "stream" in nest):
            table.put(_NESTED[nest], name.removeprefix(nest), _value(key, entry.text))
        elif key is not None:
            table.keys[name] = _value(key, entry.text)
        elif section.kind == "watcher":
            table.put("options", name, entry.text)
        elif section.kind == "plugin":
            table.keys[name] = entry.text
        else:
            table.notes.append(f"{name} = {entry.text} means nothing here.")
    return table


def _value(key: Key[object] | None, text: str) -> Literal:
    """Return a text as what it is in TOML, as far as its key wants that and no variable stands in it."""
    if key is None:
        return text
    if key.is_switch and text.lower() in SWITCH_WORDS:
        return SWITCH_WORDS[text.lower()]
    if key.takes in _NUMBERS and re.fullmatch(r"-?(0|[1-9][0-9]{0,15})", text):
        return int(text)
    if key.takes in _NUMBERS and re.fullmatch(r"-?(0|[1-9][0-9]{0,8})\.[0-9]{1,6}", text):
        return float(text)
    if key.takes == "NAMES" and "$(" not in text:
        return [name.strip() for name in text.split(",") if name.strip()]
    if key.name.startswith("rlimit_") and not text:
        return "infinity"
    return text
