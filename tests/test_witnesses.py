# No accepted option is without effect: each has a test that shows what it does (witnesses.py).

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

from bigtop.config.file import daemon
from bigtop.config.file.options import (
    cluster_options,
    daemon_options,
    stats_options,
    watcher_options,
    web_options,
)
from bigtop.config.file.text.key import Key
from bigtop.config.serve import options
from tests import witnesses
from tests.integration import test_each_key
from tests.witnesses import Witnesses

HERE = Path(__file__).parent
SECTIONS: dict[str, tuple[Sequence[Key[object]], Witnesses, str]] = {
    "circus": (daemon_options.CIRCUS, witnesses.CIRCUS, "[circus]"),
    "stats": (stats_options.STATS, witnesses.STATS, "[stats]"),
    "admin": (stats_options.ADMIN_KEYS, witnesses.ADMIN, "[admin]"),
    "web": (web_options.WEB, witnesses.WEB, "[web]"),
    "cluster": (cluster_options.CLUSTER, witnesses.CLUSTER, "[cluster]"),
    "socket": (daemon_options.SOCKET, witnesses.SOCKET, "[socket:a]"),
    "plugin": (daemon_options.PLUGIN, witnesses.PLUGIN, "[plugin:a]"),
    "app": (daemon_options.APP, witnesses.APP, "[app:a]"),
    "watcher": (watcher_options.WATCHER, witnesses.WATCHER, "[watcher:a]\ncmd = x"),
}
TABLES: dict[str, tuple[set[str], Witnesses]] = {
    "SERVE": ({option.name for option in options.OPTIONS}, witnesses.SERVE),
    **{
        section.upper(): ({key.name for key in keys if not key.is_dead}, found)
        for section, (keys, found, _) in SECTIONS.items()
    },
}
DEAD = [(section, key) for section, (keys, _, _) in SECTIONS.items() for key in keys if key.is_dead]


@cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((HERE / file).read_text()) if (HERE / file).exists() else ast.Module([], [])
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def faults(table: str, names: set[str], witnesses: Witnesses) -> Iterator[str]:
    """Yield what is wrong with the witnesses of `names`, as what to do about it."""
    found = {name: (file, test) for file, tests in witnesses.items() for name, test in tests.items()}
    for name in sorted(names - found.keys()):
        yield (
            f"{name} has no witness: write a test that fails if it does nothing, "
            f'and add "FILE.py": {{"{name}": "TEST"}} to {table} in tests/witnesses.py'
        )
    for name in sorted(found.keys() - names):
        yield f"{name} is no option any more: delete it from {table} in tests/witnesses.py"
    for name, (file, test) in sorted(found.items()):
        if not test.startswith("test_") or test not in names_in(file):
            yield f"{name}: there is no test {file}::{test}; correct it in {table} of tests/witnesses.py"


@pytest.mark.parametrize("table", TABLES)
def test_each_option_has_a_witness(table: str) -> None:
    assert list(faults(table, *TABLES[table])) == []


def test_a_new_option_an_old_one_and_a_lost_test_are_found() -> None:
    here = {"test_witnesses.py": {"old": "test_each_option_has_a_witness", "lost": "test_none"}}
    new, old, lost = faults("SERVE", {"new", "lost"}, here)
    assert new.startswith("new has no witness")
    assert "to SERVE in tests/witnesses.py" in new
    assert old.startswith("old is no option any more")
    assert lost.startswith("lost: there is no test test_witnesses.py::test_none")


def test_what_shows_in_a_process_is_looked_at_there() -> None:
    named = witnesses.WATCHER["integration/test_each_key.py"]
    assert named.keys() == test_each_key.SHOWN.keys()


@pytest.mark.parametrize(("section", "key"), DEAD, ids=lambda one: getattr(one, "name", one))
def test_what_has_no_effect_says_so(section: str, key: Key[object], tmp_path: Path) -> None:
    path = tmp_path / "x.ini"
    path.write_text(f"{SECTIONS[section][2]}\n{key.name} = 1\n")
    warned = daemon.load(str(path)).warnings
    assert any(f"{key.name} does nothing: {key.help}" in warning for warning in warned), warned
