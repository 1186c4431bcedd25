# Which source wins, and what was wrong with the others.
#
# A source (the environment, the command line, the arguments of a call) is a layer: option name -> Given.
# Later layers win, whole options at a time: a --bind on the command line replaces all of $BIGTOP_BIND.
# Rule: every value remembers who gave it, and every wrong one is reported, not just the first.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from bigtop.config.option import Option
from bigtop.errors import ConfigError

T = TypeVar("T")
DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Given:
    """The texts of one option and who gave them: a flag, a $VARIABLE or an argument, as messages name it."""

    texts: tuple[str, ...]
    origin: str


Layer = Mapping[str, Given]


@dataclass(frozen=True, slots=True)
class Setting:
    """What an option finally is."""

    given: Given
    value: object


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """Every option of `bigtop serve`, resolved. `config[WORKERS]` is the typed value of an option."""

    app: str
    settings: Mapping[str, Setting]

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
        given = Given(option.default, DEFAULT)
        for layer in layers:
            given = layer.get(option.name, given)
        try:
            settings[option.name] = Setting(given, option.parse(given.texts))
        except (ValueError, ConfigError) as error:
            problems.append(f"{given.origin}: {error}")
    if problems:
        raise ConfigError("\n".join(problems))
    return ServeConfig(app, settings)
