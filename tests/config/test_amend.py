# Changes in the text of a file: what they come to, and that all the rest stays as it was.

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.config.file.text import amend_ini, amend_toml
from bigtop.config.file.text.document import Problems
from bigtop.config.file.text.ini import read

INI = """\
# The shop.
[circus]
check_delay = 5

[watcher:web]
cmd = serve --port 80  ; plainly
args= --one
  --two
# between
  --three
numprocesses=2

# of the other
[watcher:other]
cmd: sleep 5
"""


@pytest.mark.parametrize(
    ("key", "value", "was", "becomes"),
    [
        ("numprocesses", 3, "numprocesses=2", "numprocesses=3"),
        ("cmd", "serve", "cmd = serve --port 80  ; plainly", "cmd = serve  ; plainly"),
        ("args", "", "args= --one\n  --two\n", 'args= ""\n'),
        ("shell", True, "numprocesses=2\n", "numprocesses=2\nshell = true\n"),
    ],
)
def test_a_key_of_ini(key: str, value: Any, was: str, becomes: str) -> None:
    assert amend_ini.put(INI, "watcher:web", key, value) == INI.replace(was, becomes)


def test_sections_of_ini() -> None:
    assert amend_ini.put(INI, "watcher:new", "cmd", "x") == INI + "\n[watcher:new]\ncmd = x\n"
    assert amend_ini.without(INI, "watcher:web", "numprocesses") == INI.replace("numprocesses=2\n", "")
    assert amend_ini.without(INI, "watcher:web", "no_such") == INI
    begin, end = INI.index("[watcher:web]"), INI.index("# of the other")
    assert amend_ini.without_section(INI, "watcher:web") == INI[:begin] + INI[end:]
    assert amend_ini.without_section(INI, "watcher:other") == INI[: INI.index("[watcher:other]")]
    assert amend_ini.put("", "env", "A", "1") == "[env]\nA = 1\n"


TOML = """\
# The shop.
[bigtop]
check_delay = 5

[watcher.web]
cmd = "serve --port 80"   # plainly
args = [
    "--one", # first
    "--two",
]  # both
rlimits = { nofile = 10, core = 0 } # few
hooks.before_start = "a.b"

[watcher.web.stdout_stream]
filename = "out"

# of the other
[watcher.other]
cmd = "sleep 5"
"""
ARGS = TOML[TOML.index("args") : TOML.index("rlimits")]


@pytest.mark.parametrize(
    ("path", "value", "was", "becomes"),
    [
        ("cmd", "x", '"serve --port 80"', '"x"'),
        ("args", ["a"], ARGS, 'args = ["a"]  # both\n'),
        ("rlimits.nofile", 20, "nofile = 10", "nofile = 20"),
        ("rlimits.cpu", 5, "core = 0 }", "core = 0, cpu = 5 }"),
        ("hooks.before_start", "c.d", '"a.b"', '"c.d"'),
        ("hooks.after_stop", "c.d", '"a.b"\n', '"a.b"\nhooks.after_stop = "c.d"\n'),
        ("numprocesses", 3, '"a.b"\n', '"a.b"\nnumprocesses = 3\n'),
        ("stdout_stream.max_bytes", 9, '"out"\n', '"out"\nmax_bytes = 9\n'),
    ],
)
def test_a_key_of_toml(path: str, value: Any, was: str, becomes: str) -> None:
    assert was in TOML
    changed = amend_toml.put(TOML, ("watcher", "web", *path.split(".")), value)
    assert changed == TOML.replace(was, becomes)
    tomllib.loads(changed)


def test_tables_of_toml() -> None:
    web, other = TOML.index("[watcher.web]"), TOML.index("# of the other")
    assert amend_toml.without(TOML, ("watcher", "web")) == TOML[:web] + "\n" + TOML[other:]
    new = amend_toml.put(TOML, ("watcher", "a b", "cmd"), "x")
    assert new == TOML + '\n[watcher."a b"]\ncmd = "x"\n'
    assert amend_toml.put("", ("env", "A"), "1") == '[env]\nA = "1"\n'
    assert amend_toml.without(TOML, ("watcher", "web", "rlimits", "core")) == TOML.replace(", core = 0", "")
    assert amend_toml.without(TOML, ("watcher", "no")) == TOML


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=20)
VALUES = st.one_of(st.booleans(), st.integers(-(10**6), 10**6), TEXT, st.lists(TEXT, max_size=3))
PATHS = st.sampled_from(
    ["cmd", "args", "numprocesses", "rlimits.nofile", "rlimits.cpu", "hooks.before_start", "options.x y"]
)


@given(st.lists(st.tuples(st.sampled_from(["web", "other", "new"]), PATHS, st.none() | VALUES), max_size=12))
def test_toml_says_what_was_put_whatever_came_before(changes: list[tuple[str, str, Any]]) -> None:
    text, wanted = TOML, tomllib.loads(TOML)
    for name, dotted, value in changes:
        path = ("watcher", name, *dotted.split("."))
        text = amend_toml.without(text, path) if value is None else amend_toml.put(text, path, value)
        table = wanted
        for part in path[:-1]:
            table = table.setdefault(part, {})
        if value is None:
            table.pop(path[-1], None)
        else:
            table[path[-1]] = value
    assert _full(tomllib.loads(text)) == _full(wanted)
    assert text.startswith(TOML[: TOML.index("cmd")])


def _full(table: Any) -> Any:
    """Return a table without the empty ones in it."""
    if not isinstance(table, dict):
        return table
    return {key: found for key, value in table.items() if (found := _full(value)) != {}}


@given(st.lists(st.tuples(st.sampled_from(["cmd", "args", "shell"]), st.integers(0, 99)), max_size=6))
def test_ini_says_what_was_put(changes: list[tuple[str, int]]) -> None:
    text = INI
    for key, value in changes:
        text = amend_ini.put(text, "watcher:web", key, value)
    document = read("x", {}, Problems(), {"x": text})
    web = next(section for section in document.sections if section.name == "web")
    for key, value in dict(changes).items():
        assert web.entries[key].text.split("\n")[0] == str(value)


def test_drafts_stand_for_files(tmp_path: Path) -> None:
    path = str(tmp_path / "main.ini")
    problems = Problems()
    document = read(path, {}, problems, {path: "[watcher:a]\ncmd = x\n"})
    assert [section.name for section in document.sections] == ["a"]
    assert not problems.errors
