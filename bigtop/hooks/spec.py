# Spec of hooks: where those of a site come from, for those who execute them.

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bigtop.record import Record

FILE: Final = "file:"  # what locations begin with
MODULE: Final = "python:"
PROGRAM: Final = "program:"  # that embeds the server: see program.py


class HookSpec(Record):
    """Files and modules to be executed, in this order, and the hooks that they define together."""

    locations: tuple[str, ...] = ()  # "file:/PATH", "python:MODULE" or "program:/PATH"
    names: tuple[str, ...] = ()
    settings: str = "{}"  # JSON: what hooks find as cfg, by gunicorn's names

    @property
    def asks_for_something(self) -> bool:
        return self != HookSpec()

    @classmethod
    def of(cls, locations: Sequence[str], names: Sequence[str], settings: str) -> HookSpec:
        return cls(tuple(locations), tuple(names), settings)
