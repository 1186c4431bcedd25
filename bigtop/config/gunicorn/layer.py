# Settings of gunicorn, from wherever they come, as a layer of options.

from __future__ import annotations

from collections.abc import Mapping

from bigtop.config.gunicorn.setting import Refused, SetAside, Taken
from bigtop.config.gunicorn.settings import SETTINGS
from bigtop.config.serve import arguments
from bigtop.config.serve.settings import Given, Layer, remark
from bigtop.errors import ConfigError


def layer(values: Mapping[str, object], origins: Mapping[str, str]) -> Layer:
    """Return what `values`, by gunicorn's names, come to; names that it does not know are nobody's affair.
    `origins` is how messages call each. ConfigError has a line for each that is refused, or wrong."""
    given: dict[str, Given] = {}
    problems: list[str] = []
    for name, value in values.items():
        setting, origin = SETTINGS.get(name), origins[name]
        if setting is None or value is None:
            continue
        match setting.fate:
            case Taken(option, convert):
                try:
                    converted = convert(value)
                    if converted is not None:
                        given[option.name] = arguments.given(option, converted, origin)
                except ValueError as error:
                    problems.append(f"{origin}: {error}")
                except ConfigError as error:
                    problems.append(str(error))
            case Refused(instead) if setting.asks_for_something(value):
                problems.append(f"{origin}: {instead}")
            case SetAside(reason) if setting.asks_for_something(value):
                given.update(remark(origin, f"has no effect: {reason}"))
    if problems:
        raise ConfigError("\n".join(problems))
    return given
