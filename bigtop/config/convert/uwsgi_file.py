# The INI file of uWSGI: its lines, with %(placeholders) and %x replaced.
#
# It is a dialect of its own: a key may come again, a # stands at the beginning of a line only, and a key
# without a value is a switch. $(NAME) is a variable of the environment: where its value is not known, it is
# left to be read when Bigtop starts.

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping, Sequence

from bigtop.config.file.text.document import Place, Problems
from bigtop.config.file.text.ini import text_of
from bigtop.record import Record, replace

SECTION = "uwsgi"
_HEADER = re.compile(r"\[(.*)\]\s*")
_PLACEHOLDER = re.compile(r"%\(([\w.-]+)\)|%([a-zA-Z])")
_ENVIRON = re.compile(r"\$\((\w+)\)")
_ON = "true"


OFF = ("false", "0", "no", "off", "")


class Line(Record):
    """One setting."""

    key: str
    value: str

    @property
    def said(self) -> str:
        return self.key if self.value == _ON else f"{self.key} = {self.value}"


class Settings(Record):
    """What a file or a command line says. `placeholders` are keys that others name; `others` are further
    sections, which uWSGI reads when it is told to."""

    lines: tuple[Line, ...]
    placeholders: frozenset[str]
    others: tuple[str, ...] = ()


def is_uwsgi(text: str) -> bool:
    """Tell by its sections whether a text is a file of uWSGI's."""
    return re.search(rf"^\[{SECTION}\]", text, re.MULTILINE) is not None


def read(path: str, problems: Problems, environ: Mapping[str, str]) -> Settings:
    """Read the section [uwsgi]; mistakes go to `problems`. `environ` are the variables that are known."""
    text = text_of(path, problems, Place(path, 1))
    found: list[Line] = []
    others: list[str] = []
    section = ""
    for number, line in _joined(text):
        if header := _HEADER.fullmatch(line):
            section = header[1].strip()
            others += [section] if section != SECTION and section not in others else []
        elif section == SECTION:
            key, equals, value = line.partition("=")
            found.append(Line(key.strip(), value.strip() if equals else _ON))
        elif not section:
            problems.error(Place(path, number), f"{line!r} stands before the first [section]")
    return replace(_expanded(found, _magic(path), environ), others=tuple(others))


def _joined(text: str) -> list[tuple[int, str]]:
    """Return the lines that say something, each with its number; a \\ at the end joins two."""
    found: list[tuple[int, str]] = []
    begun = ""
    for number, line in enumerate(text.split("\n"), 1):
        line = begun + line.strip()
        begun = ""
        if line.endswith("\\"):
            begun = line[:-1]
        elif line and line[0] not in "#;":
            found.append((number, line))
    return found


def of_arguments(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Return what flags say: --key value, --key=value and --key are as in a file. A file that they name is
    read; ConfigError if it is wrong."""
    found: list[Line] = []
    named: set[str] = set()
    left = list(argv)
    while left:
        word = left.pop(0)
        key, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("-"):
            key, value = "ini", word  # a file without a flag
        elif not word.startswith("--"):
            key, value = _SHORT.get(word[1:2], word), word[2:]
            if not value and left and not left[0].startswith("-"):
                value = left.pop(0)
        elif not equals and left and not left[0].startswith("-"):
            value = left.pop(0)
        if key == "ini" and value.endswith(".ini"):
            problems = Problems()
            inner = read(value, problems, environ)
            found += inner.lines
            named |= inner.placeholders
            problems.raise_any()
        else:
            found.append(Line(key, value or _ON))
    made = _expanded(found, _magic(os.path.join(os.getcwd(), "-")), environ)
    return replace(made, placeholders=made.placeholders | named)


_SHORT = {
    "s": "socket", "p": "processes", "w": "module", "H": "home", "M": "master", "T": "enable-threads",
    "t": "harakiri", "b": "buffer-size", "l": "listen", "d": "daemonize", "L": "disable-logging",
    "C": "chmod-socket", "R": "max-requests", "i": "single-interpreter", "z": "socket-timeout",
}  # fmt: skip


def _magic(path: str) -> dict[str, str]:
    whole = os.path.abspath(path)
    folder, file = os.path.split(whole)
    stem, ending = os.path.splitext(file)
    return {
        "p": whole,
        "s": file,
        "d": folder.rstrip("/") + "/",
        "e": ending.removeprefix("."),
        "n": stem,
        "c": os.path.basename(folder),
        "x": SECTION,
        "v": os.getcwd(),
        "h": platform.node(),
        "k": str(os.cpu_count() or 1),
    }


def _expanded(found: list[Line], magic: Mapping[str, str], environ: Mapping[str, str]) -> Settings:
    known: dict[str, str] = {}
    expanded = []

    def one(match: re.Match[str]) -> str:
        return known.get(match[1], match[0]) if match[1] else magic.get(match[2], match[0])

    def variable(match: re.Match[str]) -> str:
        return environ.get(match[1], f"$(circus.env.{match[1]})")

    for line in found:
        value = "auto" if line.value == "%k" and line.key in ("processes", "workers") else line.value
        value = _ENVIRON.sub(variable, _PLACEHOLDER.sub(one, value))
        key = line.key
        if key in ("set", "set-placeholder", "set-ph"):
            key, _, value = value.partition("=")
        else:
            expanded.append(Line(key, value))
        known[key.strip()] = value.strip()
    used = (name for line in found for name in re.findall(r"%\(([\w.-]+)\)", line.value))
    return Settings(tuple(expanded), frozenset(used))
