# Results of one command of the harness as they are kept: one line of JSON, which says first of what it is.
#
# Rule: what is kept is what was measured; medians, ratios and tables are made from it when somebody looks.

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar, Self

from bench.table import aligned, markdown_table


class Kept:
    """What a dataclass of results inherits. `form` is its name and version on disk; `parts` says of what each
    of its lists of measurements is."""

    __slots__ = ()
    form: ClassVar[str]
    parts: ClassVar[Mapping[str, type]]

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        values |= {name: [asdict(one) for one in values[name]] for name in self.parts}
        path.write_text(json.dumps({"format": self.form, **values}) + "\n")

    @classmethod
    def is_in(cls, path: Path) -> bool:
        """Say whether a file has such results."""
        data = json.loads(path.read_text())
        return isinstance(data, dict) and data.get("format") == cls.form

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what save() wrote."""
        data: dict[str, Any] = json.loads(path.read_text())
        del data["format"]
        return cls(**data | {name: [kind(**one) for one in data[name]] for name, kind in cls.parts.items()})


def page(blocks: Sequence[str], notes: Sequence[str], markdown: bool) -> str:
    """Return tables, and what there is to say of those that are missing."""
    last = "\n".join(f"- {note}" if markdown else note for note in notes)
    return "\n\n".join([*blocks, *([last] if last else [])])


def block(title: str, rows: list[list[str]], markdown: bool) -> str:
    """Return one table below its title."""
    if markdown:
        return "\n".join([f"## {title[0].upper()}{title[1:]}\n", *markdown_table(rows)]).rstrip("\n")
    return "\n".join([title, *aligned(rows)])
