# Keyword arguments of bigtop.serve() as a layer: texts, so that they pass the same checks as all else.

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from bigtop.config.serve.option import Option
from bigtop.config.serve.options import OPTIONS
from bigtop.config.serve.settings import Given, Layer
from bigtop.errors import ConfigError


def layer(arguments: Mapping[str, object]) -> Layer:
    """Return what was given; None is the same as not given. Takes gunicorn's names of settings as well."""
    known = {name: option for option in OPTIONS for name in (option.name, option.also) if name}
    given_by: dict[str, Given] = {}
    for name, value in arguments.items():
        option = known.get(name)
        if option is None:
            from difflib import get_close_matches  # for mistakes only

            close = get_close_matches(name, known, n=1)
            raise ConfigError(
                f"serve() has no option {name!r}" + (f"; did you mean {close[0]!r}?" if close else "")
            )
        if option.name in given_by and value is not None:
            raise ConfigError(
                f"{name} and {given_by[option.name].origin} are the same option; give one of them"
            )
        if value is not None:
            given_by[option.name] = given(option, value, name)
    return given_by


def given(option: Option[object], value: object, origin: str) -> Given:
    """Return the texts of a value that is not None; ConfigError if it cannot be one of `option`."""
    is_number = isinstance(value, int) and option.metavar == "OCTAL"
    texts = (f"{value:o}",) if is_number else tuple(_texts(value, origin))
    if len(texts) != 1 and not option.many:
        raise ConfigError(f"{origin}: takes one value, got {value!r}")
    return Given(texts, origin)


def _texts(value: object, name: str) -> Iterable[str]:
    if isinstance(value, Mapping):
        return [f"{key}={item}" for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [_text(item, name) for item in value]
    return [_text(value, name)]


def _text(value: object, name: str) -> str:
    match value:
        case bool():
            return "on" if value else "off"
        case str() | int():
            return str(value)
        case float():
            return f"{value:f}"
        case os.PathLike():
            return os.fsdecode(value)
        case _:
            raise ConfigError(f"{name}: cannot be {value!r}")
