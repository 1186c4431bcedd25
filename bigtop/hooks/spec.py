# Where the hooks of a site come from, for those who execute them.

from __future__ import annotations

from collections.abc import Sequence

from bigtop.record import Record


class HookSpec(Record):
    """Files and modules to be executed, in this order, and the hooks that they define together."""

    locations: tuple[str, ...] = ()  # "file:/PATH" or "python:MODULE"
    names: tuple[str, ...] = ()
    settings: str = "{}"  # JSON: what hooks find as cfg, by gunicorn's names

    @property
    def asks_for_something(self) -> bool:
        return self != HookSpec()

    @classmethod
    def of(cls, locations: Sequence[str], names: Sequence[str], settings: str) -> HookSpec:
        return cls(tuple(locations), tuple(names), settings)
