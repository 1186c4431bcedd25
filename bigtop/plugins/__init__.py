# Plugins: programs beside the supervisor that hear what happens and give commands. Authors import this.
#
# The names below are imported when they are first used (PEP 562), as those of bigtop/__init__.py are.

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bigtop.plugins.options import OptionError, option
    from bigtop.plugins.plugin import Event, Plugin

__all__ = ["Event", "OptionError", "Plugin", "option"]

_HOMES = {
    "Event": "bigtop.plugins.plugin",
    "OptionError": "bigtop.plugins.options",
    "Plugin": "bigtop.plugins.plugin",
    "option": "bigtop.plugins.options",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'bigtop.plugins' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
