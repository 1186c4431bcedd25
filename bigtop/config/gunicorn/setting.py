# Setting of gunicorn and what becomes of it: one row of the tables in this folder.

from __future__ import annotations

from collections.abc import Callable

from bigtop.config.serve.option import Option
from bigtop.record import Record


def as_it_is(value: object) -> object:
    return value


class Taken(Record):
    """It is an option of ours. `convert` makes of gunicorn's value one that the option takes, or raises
    ValueError that says what would be right; None is the same as not given."""

    option: Option[object]
    convert: Callable[[object], object] = as_it_is


class Refused(Record):
    """It cannot be had, and would be missed: what to do instead."""

    instead: str


class SetAside(Record):
    """It has no effect here and nobody misses it: why. One warning says so."""

    reason: str


class Hook(Record):
    """It is a function that is called at some time: when, and with what; with `least` arguments at least."""

    when: str
    arguments: tuple[str, ...]
    least: int


class ByApplication(Record):
    """It may be anything of Python's, and is worked out where the application is: what comes of it."""

    effect: str


class AppName(Record):
    """It names the application."""


Fate = Taken | Refused | SetAside | Hook | ByApplication | AppName


class Setting(Record):
    """One setting. Without a `takes` its flags are switches, which stand for `switched`."""

    name: str
    fate: Fate
    flags: tuple[str, ...] = ()
    default: object = None  # gunicorn's; a file that says it again asks for nothing
    takes: str = "VALUE"
    switched: object = True

    def asks_for_something(self, value: object) -> bool:
        """Whether `value` is another one than gunicorn's default, however that is written."""
        if value is None or value == self.default:
            return False
        return value is self.switched or bool(value) or bool(self.default)
