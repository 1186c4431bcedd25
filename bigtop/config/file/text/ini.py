# The INI dialect of Circus, line for line.
#
# It is configparser's with differences that sites rely on: a section that is repeated goes on where it
# stopped, the FIRST value of a key wins (so that the main file wins over what it includes), keys keep their
# case, % means nothing, "" is the empty text, and only ";" after a blank begins a comment in a line.
# Rule: what Circus reads from a file, this reads too; tests/config/test_ini.py asks Circus itself.

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from bigtop.config.file.text.document import Document, Entry, Place, Problems, Section
from bigtop.config.file.text.includes import included
from bigtop.record import Record, field

HEADER = re.compile(r"\[(?P<header>.+)\]")
OPTION = re.compile(r"(?P<key>.*?)\s*[=:]\s*(?P<value>.*)$")
NOTHING: Mapping[str, str] = MappingProxyType({})
_NAMED = ("watcher", "socket", "plugin", "env", "app", "path")
_ALONE = ("stats", "admin", "web", "cluster")


class _Key(Record, frozen=False):
    place: Place
    lines: list[str]


class _Parser(Record, frozen=False):
    """All files of one configuration go through the same parser, the main file first."""

    problems: Problems
    places: dict[str, Place] = field(default_factory=dict)  # of the sections, in order
    sections: dict[str, dict[str, _Key]] = field(default_factory=dict)

    def read(self, path: str, text: str) -> None:
        section: dict[str, _Key] | None = None
        key = ""
        for number, line in enumerate(text.split("\n"), 1):
            place = Place(path, number)
            if is_comment(line):
                continue
            if line[0].isspace() and section is not None and key:
                # What continues a second value is added to the first one. So it is with Circus.
                section[key].lines.append(line.strip())
            elif match := HEADER.match(line):
                section, key = self._section(match["header"], place), ""
                if (rest := line[match.end() :].strip()) and rest[0] not in "#;":
                    self.problems.warn(place, f"{rest!r} after the ] means nothing")
            elif section is None:
                self.problems.error(place, f"{line.strip()!r} stands before the first [section]")
                return
            elif match := OPTION.match(line):
                key = match["key"].rstrip()
                if key.startswith("["):
                    self.problems.warn(
                        place, f"{line.strip()!r} is no section, as it has no ]: it is the key {key!r}"
                    )
                self._option(section, key, _value(match["value"]), place)
                self._suspect_comment(match["value"], place)
            else:
                self.problems.error(
                    place,
                    f"{line.strip()!r} is neither [section] nor key = value",
                )

    def _section(self, header: str, place: Place) -> dict[str, _Key]:
        self.places.setdefault(header, place)
        return self.sections.setdefault(header, {})

    def _suspect_comment(self, text: str, place: Place) -> None:
        """Warn where a value ends elsewhere than it seems to: Circus does not know quotes."""
        first, _, rest = text.partition(";")
        if first and first[-1].isspace() and first.count('"') % 2:
            self.problems.warn(place, f"{';' + rest!r} is a comment although a quote is open before it")
        elif first and not first[-1].isspace() and (later := re.search(r"\s;.*", rest)):
            self.problems.warn(
                place,
                f"{later[0].strip()!r} belongs to the value: only the first ; of a line may begin a comment",
            )

    def _option(self, section: dict[str, _Key], key: str, value: str, place: Place) -> None:
        if key in section:
            first = section[key].place
            self.problems.warn(place, f"{key}: this second value is ignored, the first one at {first} counts")
        else:
            section[key] = _Key(place, [value])


def is_comment(line: str) -> bool:
    return (
        not line.strip() or line[0] in "#;" or (line[0] in "rR" and line.split(None, 1)[0].lower() == "rem")
    )


def _value(text: str) -> str:
    semicolon = text.find(";")  # only the first one may begin a comment; at the very start it looks behind
    if semicolon != -1 and text[semicolon - 1].isspace():
        text = text[:semicolon]
    text = text.strip()
    return "" if text == '""' else text


def read(
    path: str, environ: Mapping[str, str], problems: Problems, drafts: Mapping[str, str] = NOTHING
) -> Document:
    """Read `path` and what its [circus] section includes; mistakes go to `problems`.

    `drafts` are texts that are to become files: read instead of them.
    """
    parser = _Parser(problems)
    parser.read(path, text_of(path, problems, Place(path, 1), drafts))
    circus = _entries(parser.sections.get("circus", {}))
    for further, place in included(path, circus, environ, problems):
        parser.read(further, text_of(further, problems, place, drafts))
    defaults = _entries(parser.sections.pop("DEFAULT", {}))
    sections = (
        _named(header, parser.places[header], {**defaults, **_entries(keys)}, problems)
        for header, keys in parser.sections.items()
    )
    return Document(
        path,
        False,
        tuple(section for section in sections if section.entries or section.kind in _ALONE),
    )


def text_of(path: str, problems: Problems, place: Place, drafts: Mapping[str, str] = NOTHING) -> str:
    """Return the text of a file with \\n at its line ends, or "" after having noted why it cannot be read."""
    if path in drafts:
        return drafts[path]
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except OSError as error:
        problems.error(place, f"{path} cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        problems.error(Place(path, line), f"byte {error.object[error.start]:#04x} is not UTF-8")
    return ""


def _entries(keys: Mapping[str, _Key]) -> dict[str, Entry]:
    return {name: Entry(("\n".join(key.lines),), key.place) for name, key in keys.items()}


def _named(header: str, place: Place, entries: Mapping[str, Entry], problems: Problems) -> Section:
    kind, colon, name = header.partition(":")
    if colon and kind in _NAMED:
        return Section(kind, name.lower() if kind == "socket" else name, place, entries)
    if header not in ("circus", "env", "tls", *_ALONE):
        kinds = ", ".join(_NAMED)
        problems.warn(
            place,
            f"[{header}] means nothing here; known are [circus], [env], [stats], [admin], [web], "
            f"[cluster], [tls] and [KIND:NAME] with {kinds}",
        )
    return Section(header, "", place, entries)
