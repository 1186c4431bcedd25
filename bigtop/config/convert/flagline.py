# The command line of another server, split by the table of its settings.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import click

from bigtop.config.gunicorn.setting import Setting, Taken
from bigtop.errors import ConfigError

_APP: Final = "app"


def parsed(
    table: Mapping[str, Setting], argv: Sequence[str], place: str
) -> tuple[dict[str, object], dict[str, str], str]:
    """Return the values by name, how each is written there, and the application, "" where none is named.
    ConfigError names `place` for what is no flag of that server."""
    params: list[click.Parameter] = [click.Argument([_APP], required=False)]
    params += [_parameter(setting) for setting in table.values() if setting.flags]
    command = click.Command(place, params=params, add_help_option=False)
    try:
        context = command.make_context(place, _completed(table, argv))
    except click.UsageError as error:
        raise ConfigError(f"{place}: {error.format_message()}") from error
    values: dict[str, object] = {}
    said: dict[str, str] = {}
    for name, setting in table.items():
        value = context.params.get(_parameter_name(name))
        if value is None or value == ():
            continue
        flag = next(flag for flag in (*setting.flags[::-1], *setting.flags) if flag.startswith("--"))
        values[name] = list(value) if isinstance(value, tuple) else value
        if isinstance(value, bool):
            values[name], said[name] = setting.switched, flag
        else:
            said[name] = " ".join(
                f"{flag} {text}" for text in (value if isinstance(value, tuple) else [value])
            )
    return values, said, str(context.params[_APP] or "")


def _parameter(setting: Setting) -> click.Option:
    name = _parameter_name(setting.name)
    if not setting.takes:
        return click.Option([*setting.flags, name], is_flag=True, default=None)
    return click.Option([*setting.flags, name], multiple=isinstance(setting.default, list), default=None)


def _parameter_name(name: str) -> str:
    return f"their_{name}"


def _completed(table: Mapping[str, Setting], argv: Sequence[str]) -> list[str]:
    """Complete flags whose value may be left out."""
    bare = {
        flag: setting.fate.option
        for setting in table.values()
        if isinstance(setting.fate, Taken) and setting.fate.option.bare and setting.takes
        for flag in setting.flags
    }
    found = []
    for position, word in enumerate(argv):
        following = argv[position + 1] if position + 1 < len(argv) else ""
        if (option := bare.get(word)) and following not in option.metavar.split("|"):
            word = f"{word}={option.bare}"
        found.append(word)
    return found
