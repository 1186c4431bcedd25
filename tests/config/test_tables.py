# The tables of options and keys: nothing is described and left out, and a row is all that is said of it.

from __future__ import annotations

import ast
from operator import attrgetter
from pathlib import Path
from types import ModuleType

import pytest

from bigtop.backends.serve_options import ServeOptions
from bigtop.config.file.options import daemon_options, watcher_options
from bigtop.config.file.text.key import Key
from bigtop.config.serve import options
from bigtop.config.serve.option import Option
from bigtop.config.serve.options import OPTIONS

FOLDER = Path(options.__file__).parents[1]


def rows(module: ModuleType, kind: type) -> list[object]:
    """All that the module itself describes, in the order of its lines."""
    named = {name: value for name, value in vars(module).items() if name not in ("OPTIONS", "WATCHER")}
    found = [row for value in named.values() for row in (value if isinstance(value, tuple) else (value,))]
    return [row for row in found if isinstance(row, kind)]


def test_the_table_of_options_is_all_of_them_by_subject() -> None:
    assert list(OPTIONS) == rows(options, Option)
    groups = [option.group for option in OPTIONS]
    assert groups == sorted(groups, key=list(type(groups[0])).index)


def test_the_table_of_a_watcher_is_all_of_its_keys() -> None:
    assert list(watcher_options.WATCHER) == rows(watcher_options, Key)


@pytest.mark.parametrize("name", ["CIRCUS", "SOCKET", "PLUGIN", "APP"])
def test_the_tables_of_other_sections_name_no_key_twice(name: str) -> None:
    table: tuple[Key[object], ...] = attrgetter(name)(daemon_options)
    assert len({key.name for key in table}) == len(table)


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.field], ids=lambda o: o.name)
def test_an_option_sets_what_it_is_without(option: Option[object]) -> None:
    """The default of a flag is that of the field that it sets, so it is of the right type as well."""
    default = attrgetter(option.field)(ServeOptions())
    assert option.parse(option.default) == default
    assert type(option.parse(option.default)) is type(default)


def named() -> dict[str, set[str]]:
    """Each name -> the modules that use it, apart from those that read the files of others."""
    found: dict[str, set[str]] = {}
    for path in set(FOLDER.rglob("*.py")) - set(FOLDER.glob("convert/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Attribute(attr=name) | ast.Name(id=name):
                    found.setdefault(name, set()).add(str(path.relative_to(FOLDER)))
    return found


# What gunicorn has under another name, and what applications on one socket must agree about.
LISTS = {"gunicorn/settings.py", "file/routing.py"}
# What depends on more than one option, on files, or is said in a second way, too: serve.py, acme.py,
# gates.py, environment.py, file/paths.py and gunicorn/file.py say how.
DEPENDING = {
    *("LIMIT_REQUEST_HEAD", "ROOT_PATH", "STATIC", "SENDFILE_ROOT", "LOG_JSON", "FORWARDED_ALLOW_IPS"),
    *("SERVER_HEADER", "HTTPS_REDIRECT", "TIMEOUT", "TIMEOUT_FOR", "TIMEOUT_ACTION"),
    *("LIMIT_ADDRESS_RATE", "ALLOWED", "DENIED", "BASIC_AUTH", "CANONICAL_HOST", "ERROR_PAGE"),
    *("CACHE", "CACHE_COOKIES"),
}


def test_an_option_with_a_field_is_in_the_table_and_nowhere_else() -> None:
    """docs/howto/add-an-option.md promises that it takes three files: the table, the field, its effect."""
    constants = {id(value): name for name, value in vars(options).items() if isinstance(value, Option)}
    found = named()
    for option in OPTIONS:
        constant = constants[id(option)]
        if option.field and constant not in DEPENDING:
            assert found[constant] - LISTS == {"serve/options.py"}, constant
