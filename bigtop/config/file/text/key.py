# Keys of a configuration file: the rows of watcher_options.py and daemon_options.py, and how they are read.
#
# Rule: an unknown key is an error in TOML; in INI it is kept or ignored as Circus does, with a word about the
# known one that it resembles.

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Generic, TypeVar, cast

from bigtop.config.file.text.document import Entry, Place, Problems, Section
from bigtop.config.serve.settings import DEFAULT, Given, Setting
from bigtop.config.serve.values.values import Parse
from bigtop.errors import ConfigError
from bigtop.record import Record

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Key(Record, Generic[T_co]):
    """One key. A dead one is accepted, does nothing and earns a warning; its help says why."""

    name: str
    parse: Parse[T_co]
    takes: str  # what the value is, for people
    help: str
    default: tuple[str, ...] = ()  # texts, as a user would write them
    many: bool = False  # may be a list in TOML
    ours: bool = False  # Circus has no such key
    is_dead: bool = False

    @property
    def is_switch(self) -> bool:
        return self.takes == "yes|no"


Keys = Sequence[Key[object]]


class Values(Record):
    """The keys of one section, checked. `values[NUMPROCESSES]` is the typed value of a key."""

    title: str
    place: Place
    settings: Mapping[str, Setting]
    given: Mapping[str, Entry]  # the keys of the table that the section has
    options: Mapping[str, Entry]  # keys that the table does not have

    def __getitem__(self, key: Key[T]) -> T:
        # parse() of this very key made the value.
        return cast(T, self.settings[key.name].value)

    def is_given(self, key: Key[object]) -> bool:
        return key.name in self.given

    def place_of(self, key: Key[object]) -> Place:
        return self.given[key.name].place if key.name in self.given else self.place


def read(section: Section, keys: Keys, problems: Problems) -> Values:
    """Check the values of a section; of a wrong one the default is taken, so that the rest is checked too."""
    settings = {key.name: _setting(key, section.entries.get(key.name), problems) for key in keys}
    unknown = {name: entry for name, entry in section.entries.items() if name not in settings}
    given = {name: entry for name, entry in section.entries.items() if name in settings}
    return Values(section.title, section.place, settings, given, {**unknown, **section.options})


def _setting(key: Key[object], entry: Entry | None, problems: Problems) -> Setting:
    default = Setting(Given(key.default, DEFAULT), key.parse(key.default))
    if entry is None:
        return default
    if key.is_dead:
        problems.warn(entry.place, f"{key.name} does nothing: {key.help}")
        return default
    try:
        if entry.is_number and key.takes == "OCTAL":
            raise ValueError(f'must be a text here, such as {key.name} = "022"')
        if entry.is_list and not key.many:
            raise ValueError(f"takes one value, got {list(entry.texts)}")
        return Setting(Given(entry.texts, str(entry.place)), key.parse(entry.texts))
    except (ValueError, ConfigError) as error:
        problems.error(entry.place, f"{key.name}: {error}")
        return default


def refuse_unknown(section: Section, known: Iterable[str], problems: Problems) -> None:
    """Report the keys of a TOML section that the table does not have."""
    names = set(known)
    for name, entry in section.entries.items():
        if name not in names:
            problems.error(entry.place, f"[{section.title}] has no key {name}{suggestion(name, names)}")


def suspect_unknown(section: Section, known: Iterable[str], problems: Problems) -> None:
    """Warn of keys of an INI section that resemble known ones."""
    names = set(known)
    for name, entry in section.entries.items():
        hint = "" if name in names else suggestion(name, names, 0.8)
        if hint:
            problems.warn(entry.place, f"{name} is no key of [{section.title}] and only kept as it is{hint}")


def suggestion(name: str, known: Iterable[str], closeness: float = 0.6) -> str:
    """Return "; did you mean ...?" where one of `known` resembles `name`."""
    close = get_close_matches(name, sorted(known), 1, closeness)
    return f"; did you mean {close[0]}?" if close else ""
