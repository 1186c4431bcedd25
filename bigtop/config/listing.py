# The table and its values as text: --print-config and docs/reference/serve.md.

from __future__ import annotations

import shlex
from collections.abc import Iterator

from bigtop.config.option import Group, Option
from bigtop.config.options import OPTIONS
from bigtop.config.settings import ServeConfig, Setting


def print_config(config: ServeConfig) -> str:
    """Return one line for each option: its name, its value, and who said so."""
    rows = [("app", config.app, "")]
    for option in OPTIONS:
        setting = config.settings[option.name]
        rows.append((option.name, _shown(setting), f"# {setting.given.origin}"))
    return "\n".join(f"{name:<25}= {value:<30} {origin}".rstrip() for name, value, origin in rows)


def _shown(setting: Setting) -> str:
    """Return the value as it was written, and in brackets what `auto` or `10M` came to."""
    written = shlex.join(setting.given.texts)
    if isinstance(setting.value, int) and written[-1:].isalpha() and not isinstance(setting.value, bool):
        return f"{written} ({setting.value})"
    return written or "(not set)"


def reference() -> str:
    """Return the tables of docs/reference/serve.md."""
    return "\n".join(_reference_lines())


def _reference_lines() -> Iterator[str]:
    for group in Group:
        yield f"## {group.value}\n"
        yield "| flag | default | variable | meaning |"
        yield "| --- | --- | --- | --- |"
        for option in OPTIONS:
            if option.group is group:
                yield _row(option)
        yield ""


def _row(option: Option[object]) -> str:
    flags = ", ".join(f"`{flag}`" for flag in option.flags)
    if option.is_switch:
        flags += f", `{option.flag.replace('--', '--no-', 1)}`"
    else:
        flags += f" {option.metavar}"
    default = f"`{' '.join(option.default)}`" if option.default else ""
    meaning = f"{option.help} gunicorn: `{option.also}`." if option.also else option.help
    cells = (flags, default, f"`{option.variable}`", meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
