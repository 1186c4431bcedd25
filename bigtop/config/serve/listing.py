# Listing of every option as it finally is: --print-config.

from __future__ import annotations

import shlex

from bigtop.config.serve.options import OPTIONS
from bigtop.config.serve.settings import ServeConfig, Setting
from bigtop.supervisor.policy.scaling import Bounds


def print_config(config: ServeConfig) -> str:
    """Return one line for each option: its name, its value, and who said so."""
    rows = [("app", config.app, "")]
    for option in OPTIONS:
        setting = config.settings[option.name]
        rows.append((option.name, _shown(setting), f"# {setting.given.origin}"))
    return "\n".join(f"{name:<25} = {value:<30} {origin}".rstrip() for name, value, origin in rows)


def _shown(setting: Setting) -> str:
    """Return the value as it was written, and in brackets what `auto` or `10M` came to."""
    written = shlex.join(setting.given.texts)
    counted = isinstance(setting.value, int | Bounds) and not isinstance(setting.value, bool)
    if counted and written[-1:].isalpha():
        return f"{written} ({setting.value})"
    return written or "(not set)"
