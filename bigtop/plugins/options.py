# Options of a plugin: attributes that its class annotates, read from the texts of a section.
#
# Rule: pure. Whatever is wrong is told by the name of its option, all of it at once.

from __future__ import annotations

import inspect
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, ClassVar, Final, get_args, get_origin

from bigtop.errors import BigtopError
from bigtop.record import MISSING, Record

Parse = Callable[[str], Any]

_YES: Final = ("yes", "true", "on", "1")
_NO: Final = ("no", "false", "off", "0")
_NAMES: Final = {str: "TEXT", int: "N", float: "N", bool: "yes|no"}


class OptionError(BigtopError):
    """The option `name` of a plugin is wrong, and `reason` says why."""

    exit_status = 78

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class Option(Record):
    """One option. `parse` makes a value of a text, or raises ValueError with what would be right."""

    name: str
    default: Any
    help: str
    takes: str  # what the value is, for people
    parse: Parse
    is_list: bool

    @property
    def is_required(self) -> bool:
        return self.default is MISSING


class _Described(Record):
    """What option() was told."""

    default: Any
    help: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]
    parse: Parse | None
    takes: str


def option(
    default: Any = MISSING,
    *,
    help: str = "",  # noqa: A002 - as argparse and click call it
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[str] = (),
    parse: Parse | None = None,
    takes: str = "",
) -> Any:
    """Describe an option that has more than a plain default; without one it has to be given.

    `parse` makes a value of a text where the annotation does not say how: it raises ValueError for a wrong
    one. `takes` is what the reference calls the value.
    """
    return _Described(default, help, minimum, maximum, tuple(choices), parse, takes)


def options_of(kind: type, base: type) -> dict[str, Option]:
    """Return the options of the class `kind`, those of its bases below `base` first."""
    found: dict[str, Option] = {}
    for each in reversed(kind.__mro__):
        if each is base or not issubclass(each, base):
            continue
        hints = typing.get_type_hints(each)
        for name in inspect.get_annotations(each):
            if name.startswith("_") or get_origin(hints[name]) is ClassVar:
                continue
            found[name] = _option(name, hints[name], each.__dict__.get(name, MISSING))
    return found


def read(
    options: Mapping[str, Option], given: Mapping[str, Sequence[str]], reserved: Sequence[str] = ()
) -> tuple[dict[str, Any], list[OptionError]]:
    """Return the value of each option, and what is wrong; of a wrong one there is no value.

    `reserved` are keys that have a meaning already, which no option can have as its name.
    """
    values: dict[str, Any] = {}
    problems = [
        OptionError(name, "every plugin has a key of that name: call the option otherwise")
        for name in options
        if name in reserved
    ]
    for name, each in options.items():
        if name in given:
            try:
                values[name] = _value(each, given[name])
            except ValueError as error:
                problems.append(OptionError(name, str(error)))
        elif each.is_required:
            problems.append(OptionError(name, f"is needed: {each.help or each.takes}"))
        else:
            values[name] = each.default
    problems += [
        OptionError(name, f"there is no such option{_hint(name, options)}")
        for name in given
        if name not in options
    ]
    return values, problems


def _hint(name: str, known: Mapping[str, Option]) -> str:
    close = get_close_matches(name, sorted(known), 1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known) or 'none'}"


def _value(each: Option, texts: Sequence[str]) -> Any:
    if not each.is_list:
        if len(texts) != 1:
            raise ValueError(f"takes one value, got {list(texts)}")
        return each.parse(texts[0])
    words = texts[0].split(",") if len(texts) == 1 else texts
    return tuple(each.parse(word.strip()) for word in words if word.strip())


def _option(name: str, hint: Any, default: Any) -> Option:
    told = default if isinstance(default, _Described) else _Described(default, "", None, None, (), None, "")
    hint, is_list = _plain(hint)
    parse = told.parse
    if parse is None:
        parse = _parser(name, hint)
    if told.choices:
        parse = _chosen(told.choices)
    elif told.minimum is not None or told.maximum is not None:
        parse = _bounded(parse, told.minimum, told.maximum)
    takes = told.takes or "|".join(told.choices) or _choices_of(hint) or _NAMES.get(hint, "TEXT")
    return Option(name, told.default, told.help, f"{takes},..." if is_list else takes, parse, is_list)


def _plain(hint: Any) -> tuple[Any, bool]:
    """Return what one value is, and whether there may be many of them."""
    if get_origin(hint) in (typing.Union, types.UnionType):  # X | None
        rest = [one for one in get_args(hint) if one is not type(None)]
        hint = rest[0] if len(rest) == 1 else hint
    if get_origin(hint) in (tuple, list):
        return (get_args(hint) or (str,))[0], True
    return hint, False


def _choices_of(hint: Any) -> str:
    return "|".join(map(str, get_args(hint))) if get_origin(hint) is typing.Literal else ""


def _parser(name: str, hint: Any) -> Parse:
    if get_origin(hint) is typing.Literal:
        return _chosen(tuple(map(str, get_args(hint))))
    parsers: dict[Any, Parse] = {str: str, int: _whole, float: _number, bool: _switch}
    if hint not in parsers:
        raise TypeError(f"option {name}: how is a text read as {hint}? Say parse=")
    return parsers[hint]


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"must be a whole number, got {text!r}") from None


def _number(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"must be a number, got {text!r}")
    return found


def _switch(text: str) -> bool:
    word = text.lower()
    if word not in (*_YES, *_NO):
        raise ValueError(f"must be yes or no, got {text!r}")
    return word in _YES


def _chosen(choices: tuple[str, ...]) -> Parse:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}, got {text!r}")
        return text

    return parse


def _bounded(parse: Parse, minimum: float | None, maximum: float | None) -> Parse:
    def bounded(text: str) -> Any:
        found = parse(text)
        if minimum is not None and found < minimum:
            raise ValueError(f"must be {minimum:g} or more, got {text!r}")
        if maximum is not None and found > maximum:
            raise ValueError(f"must be {maximum:g} or less, got {text!r}")
        return found

    return bounded


def rows(options: Mapping[str, Option]) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, what it takes, default and help of each, for a reference."""
    for each in options.values():
        default = "" if each.is_required or each.default in (None, (), "") else _shown(each.default)
        yield each.name, each.takes, default, each.help


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
