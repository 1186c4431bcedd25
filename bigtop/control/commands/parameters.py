# Parameters: the fields of commands; the wire, command line, completion and manual follow from them.
#
# Rule: a field is named as it is on the wire. A value may come as Circus' clients send it, "5" for 5
# included; what cannot be one is refused with a word on what would be right.

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from bigtop.control.protocol import RefusedError
from bigtop.errors import ConfigError
from bigtop.record import MISSING, Field, Record, field, fields
from bigtop.system import signals

Convert = Callable[[object], object]


class Kind(Enum):
    """How a parameter is written on a command line."""

    ARGUMENT = "argument"
    WORDS = "words"  # all remaining arguments
    PAIRS = "pairs"  # all remaining arguments, as KEY VALUE KEY VALUE
    OPTION = "option"
    SETTINGS = "settings"  # an option that may be repeated: KEY=VALUE
    FLAG = "flag"
    WIRE_ONLY = "wire only"


class Parameter(Record):
    about: str
    convert: Convert
    kind: Kind
    completes: str = ""  # "watcher", "pid", "key", "signal"
    flag: str = ""  # what a flag is called if not like its field; it then says the opposite


def _field(parameter: Parameter, default: object) -> Any:
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata={"parameter": parameter})
    return field(default=default, metadata={"parameter": parameter})


def argument(
    about: str,
    convert: Convert,
    default: object = MISSING,
    *,
    kind: Kind = Kind.ARGUMENT,
    completes: str = "",
) -> Any:
    return _field(Parameter(about, convert, kind, completes), default)


def option(
    about: str,
    convert: Convert,
    default: object = None,
    *,
    kind: Kind = Kind.OPTION,
    completes: str = "",
) -> Any:
    return _field(Parameter(about, convert, kind, completes), default)


def flag(about: str, *, default: bool = False, opposite: str = "") -> Any:
    """A switch; one that is on by default is switched off by the flag `opposite`."""
    return _field(Parameter(about, boolean, Kind.FLAG, flag=opposite), default)


def of(command: type) -> dict[str, tuple[Parameter, Field]]:
    return {one.name: (one.metadata["parameter"], one) for one in fields(command)}


def values(command: type, properties: Mapping[str, object]) -> dict[str, object]:
    """Return the arguments for `command`; null counts as absent, what it does not know is ignored."""
    found = {}
    for name, (parameter, one) in of(command).items():
        value = properties.get(name)
        if value is not None:
            try:
                found[name] = parameter.convert(value)
            except ValueError as error:
                raise RefusedError(f"message invalid, {name!r}: {error}") from None
        elif one.is_required:
            raise RefusedError(f"message invalid {name!r} is missing")
    return found


# ---- what a value may be


def text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} isn't a string")
    return value


def whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{value!r} isn't an integer")
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"{value!r} isn't an integer") from None


def natural(value: object) -> int:
    if whole(value) < 0:
        raise ValueError(f"{value!r} is negative")
    return whole(value)


def seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} isn't a number")
    try:
        number = float(value)
    except (ValueError, OverflowError):  # an integer of JSON may have 400 digits
        raise ValueError(f"{value!r} isn't a number") from None
    if not 0 <= number < float("inf"):
        raise ValueError(f"{value!r} isn't a number of seconds")
    return number


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def duration(value: object) -> float:
    """Return seconds; besides a number of them, 500ms, 2s, 1.5m and 1h are understood."""
    found = re.fullmatch(r"\s*([0-9.]+)\s*(ms|s|m|h)\s*", value) if isinstance(value, str) else None
    return seconds(value) if found is None else seconds(found[1]) * _UNITS[found[2]]


_TRUE = {"yes", "true", "on", "1"}
_FALSE = {"no", "false", "off", "0"}


def boolean(value: object) -> bool:
    word = str(value).strip().lower()
    if word not in _TRUE | _FALSE or isinstance(value, float):
        raise ValueError(f"{value!r} isn't a valid boolean")
    return word in _TRUE


def signal_number(value: object) -> int:
    try:
        return signals.number(value if isinstance(value, str | int) else "")
    except ConfigError:
        raise RefusedError("signal invalid") from None


def strings(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError("a list of strings is expected")
    return tuple(value)


def mapping(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError("an object is expected")
    return dict(value)


def one_of(*words: str) -> Convert:
    def convert(value: object) -> str:
        if value not in words:
            raise ValueError(f"{value!r} is none of {', '.join(words)}")
        return str(value)

    return convert
