# Settings: the options of a site resolved, which source wins and what was wrong with the others.
#
# A source (the environment, the command line, the arguments of a call) is a layer: option name -> Given.
# Later layers win, whole options at a time: a --bind on the command line replaces all of $BIGTOP_BIND.
# Rule: every value remembers who gave it, and every wrong one is reported, not just the first.
# A layer may also hold remarks on what was given there and is no option.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar, cast

from bigtop.config.serve.option import Option
from bigtop.errors import ConfigError, one_line
from bigtop.record import Record

T = TypeVar("T")
DEFAULT = "default"


class Given(Record):
    """The texts of one option and who gave them: a flag, a $VARIABLE or an argument, as messages name it."""

    texts: tuple[str, ...]
    origin: str


Layer = Mapping[str, Given]


class ConfigFile(Record):
    """A configuration that is Python, and what it says."""

    location: str  # "file:/PATH" or "python:MODULE"
    label: str  # as messages call it
    layer: Layer
    values: Mapping[str, object]  # as it gives them, by gunicorn's names
    app: str  # "" where it names none
    hooks: tuple[str, ...]  # the names of those that it has


_REMARK = "remark on "


def remark(origin: str, text: str) -> Layer:
    """Return what makes a layer say `text` of something that `origin` gave."""
    return {f"{_REMARK}{origin}": Given((text,), origin)}


class Setting(Record):
    """What an option finally is."""

    given: Given
    value: object


class ServeConfig(Record):
    """Every option of `bigtop serve`, resolved. `config[WORKERS]` is the typed value of an option."""

    app: str
    settings: Mapping[str, Setting]
    remarks: tuple[str, ...] = ()  # lines that the user should read
    file: ConfigFile | None = None  # that said some of it
    hooks: ConfigFile | None = None  # a module that only has hooks

    def __getitem__(self, option: Option[T]) -> T:
        # parse() of this very option made the value.
        return cast(T, self.settings[option.name].value)

    def texts(self, option: Option[object]) -> tuple[str, ...]:
        return self.settings[option.name].given.texts


def resolve(app: str, options: Sequence[Option[object]], layers: Sequence[Layer]) -> ServeConfig:
    """Return what `options` are after `layers`, the strongest of which is the last.

    Raises ConfigError with one line for each wrong value.
    """
    settings: dict[str, Setting] = {}
    problems: list[str] = []
    for option in options:
        given, name = Given(option.default, DEFAULT), option.name
        for layer in layers:
            given = layer.get(name, given)
        try:
            settings[name] = Setting(given, option.parse(given.texts))
        except (ValueError, ConfigError) as error:
            problems.append(one_line(f"{given.origin}: {error}"))
    if problems:
        raise ConfigError("\n".join(problems))
    remarks = [
        f"{given.origin} {given.texts[0]}"
        for layer in layers
        for name, given in layer.items()
        if name.startswith(_REMARK)
    ]
    return ServeConfig(app, settings, tuple(remarks))
