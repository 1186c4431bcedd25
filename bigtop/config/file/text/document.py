# A configuration file as sections of keys, each with its place: what INI and TOML have in common.
#
# Rule 1: values are texts here, whatever the file's own types are; watcher_options.py and its like say what
# they mean. Rule 2: every mistake is kept with its place, and all are reported together.

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bigtop.errors import ConfigError, one_line
from bigtop.record import Record, field


class Place(NamedTuple):
    """Where something stands. Printed as file:line."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Entry(Record):
    """One value. Only TOML has lists, and numbers that are not texts."""

    texts: tuple[str, ...]
    place: Place
    is_list: bool = False
    is_number: bool = False

    @property
    def text(self) -> str:
        return self.texts[-1] if self.texts else ""


class Section(Record):
    """[watcher:web] is of kind "watcher", named "web"; [circus] and [env] have no name."""

    kind: str
    name: str
    place: Place
    entries: Mapping[str, Entry]
    options: Mapping[str, Entry] = field(default_factory=dict)  # free-form ones, where they stand apart

    @property
    def title(self) -> str:
        return ":".join(filter(None, (self.kind, self.name)))


class Problems(Record, frozen=False):
    """What is wrong with a configuration, and what is merely worth a warning."""

    errors: list[tuple[Place, str]] = field(default_factory=list)
    warnings: list[tuple[Place, str]] = field(default_factory=list)

    def error(self, place: Place, message: str) -> None:
        self.errors.append((place, message))

    def warn(self, place: Place, message: str) -> None:
        self.warnings.append((place, message))

    def raise_any(self) -> None:
        """Raise one ConfigError that holds all errors, in the order of the file."""
        if self.errors:
            raise ConfigError("\n".join(_lines(self.errors)))

    def shown_warnings(self) -> tuple[str, ...]:
        return tuple(_lines(self.warnings))


def _lines(found: list[tuple[Place, str]]) -> list[str]:
    return [one_line(f"{place}: {message}") for place, message in sorted(dict.fromkeys(found))]


class Document(Record):
    """All sections of a file and the files that it includes. `strict`: unknown keys are errors."""

    path: str
    strict: bool
    sections: tuple[Section, ...]

    def of_kind(self, kind: str) -> list[Section]:
        return [section for section in self.sections if section.kind == kind]

    def only(self, kind: str) -> Section:
        """Return the one section of its kind; an empty one if the file has none."""
        for section in self.of_kind(kind):
            if not section.name:
                return section
        return Section(kind, "", Place(self.path, 1), {})
