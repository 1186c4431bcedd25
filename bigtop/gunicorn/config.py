# Config of an embedded application: what it sets, by gunicorn's names of settings.
#
# Rule: a name that gunicorn does not know is refused at once, as there. What a value comes to is found out by
# the supervisor, which tells a wrong one with the name of the program.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bigtop.config.gunicorn import settings


class Setting:
    """One setting: what it is now, and gunicorn's default."""

    def __init__(self, name: str, default: object) -> None:
        self.name = name
        self.default = self.value = default
        self.is_set = False

    def get(self) -> object:
        return self.value

    def set(self, value: object) -> None:
        self.value = value
        self.is_set = True


class Config:
    """`settings` has every setting of gunicorn; each can be read as an attribute."""

    def __init__(self, usage: str | None = None, prog: str | None = None) -> None:
        self.usage = usage
        self.prog = prog
        self.settings = {one.name: Setting(one.name, one.default) for one in settings.SETTINGS.values()}

    def __getattr__(self, name: str) -> Any:
        if name == "settings" or name not in self.settings:
            raise AttributeError(f"No configuration setting for: {name}")
        return self.settings[name].get()

    def set(self, name: str, value: object) -> None:
        """Change a setting; AttributeError where there is none of that name."""
        if name not in self.settings:
            raise AttributeError(f"No configuration setting for: {name}")
        self.settings[name].set(value)

    def validate(self) -> None:
        """Nothing to be done: the supervisor does that."""

    @property
    def given(self) -> Mapping[str, Any]:
        """What was set, by name."""
        return {name: setting.value for name, setting in self.settings.items() if setting.is_set}
