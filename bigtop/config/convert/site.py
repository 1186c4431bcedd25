# An [app.NAME] of the new file in the making, and what of [circus] and [stats] belongs to it.
#
# Rule: what the application's section does not take, alone or together with the backend, becomes a comment.
# What names something of a machine (a folder, a user) is kept, since the file may be for another machine;
# `bigtop check` says there whether it is there.

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Final

from bigtop.backends import registry
from bigtop.config.convert.notes import no_equal, not_needed, shown
from bigtop.config.file.options import daemon_options as d
from bigtop.config.file.options import stats_options as st
from bigtop.config.file.options.watcher_options import ENV_FILE
from bigtop.config.file.text.tomltext import Literal, Table
from bigtop.config.gunicorn.setting import AppName, Hook, Refused, SetAside, Setting, Taken
from bigtop.config.gunicorn.values import word
from bigtop.config.serve import arguments, serve
from bigtop.config.serve import options as o
from bigtop.config.serve.option import Option
from bigtop.config.serve.settings import Given, resolve
from bigtop.config.serve.values import values
from bigtop.errors import ConfigError

_OF_A_MACHINE: Final = frozenset(
    option.name
    for option in (
        o.CHDIR,
        o.TEMP_DIR,
        o.USER,
        o.GROUP,
        o.BIND_OWNER,
        o.BIND_GROUP,
        o.BACKEND,
        o.MOUNT,
        o.BASIC_AUTH,
    )
)
_UNTESTED: Final = _OF_A_MACHINE - {o.BIND_OWNER.name, o.BIND_GROUP.name} | {o.PASTE_LOGGING.name}
# What is of Bigtop as a whole, and has a key in [circus].
_OF_CIRCUS: Final = {
    o.PID.name: d.PIDFILE,
    o.ERROR_LOGFILE.name: d.LOGOUTPUT,
    o.LOG_TIME_ZONE.name: d.LOG_TIME_ZONE,
}
# And what has one in [stats].
_OF_STATS: Final = {
    o.STATSD_HOST.name: st.STATSD_HOST.name,
    o.STATSD_PREFIX.name: st.STATSD_PREFIX.name,
    o.DOGSTATSD_TAGS.name: st.DOGSTATSD_TAGS.name,
    o.ENABLE_BACKLOG_METRIC.name: st.BACKLOG_METRIC.name,
}
_NAMED: Final = "figures for statsd have the name of the application before gunicorn: there may be several."
_FILES: Final = (d.PIDFILE.name, d.LOGOUTPUT.name)
_NUMBERS: Final = ("N", "N|auto", "N|N..M|auto", "SECONDS", "SIZE")


class SiteDraft:
    """What is said of one application, option by option. An empty name is that of the application."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.app = ""
        self.notes: list[str] = []
        self.environ: dict[str, str] = {}  # for its env section
        self.env_file = ""  # a path, from where we are
        self._circus: dict[str, str] = {}
        self._stats: dict[str, Literal] = {}
        self._given: dict[str, Given] = {}
        self._said: dict[str, str] = {}
        self._paths: dict[str, SiteDraft] = {}
        self._is_path = False

    # ---- what is said of it

    def put(self, option: Option[object], value: object, said: str) -> None:
        """Set an option; `said` is what the old file says. One that may be repeated is added to."""
        try:
            given = arguments.given(option, value, option.name)
            "".join(given.texts).encode()
        except (ConfigError, UnicodeEncodeError) as error:
            return self.lacks(said, str(error).removeprefix(f"{option.name}: "))
        try:
            parsed = option.parse(given.texts)
        except (ValueError, ConfigError) as error:
            if option.name not in _OF_A_MACHINE or not "".join(given.texts).strip("\0"):
                return self.lacks(said, str(error))
            parsed = given.texts
        if self._is_path and not option.by_path:
            return self.lacks(said, f"{option.name} is for the whole application")
        if option is o.NAME:
            self.name = self.name or given.texts[-1]
            return None
        if option.name in d.NOT_OF_APPS or option.name in _OF_CIRCUS:
            return self._of_the_whole(option, given, parsed, said)
        if option.many and option.name in self._given:
            given = Given((*self._given[option.name].texts, *given.texts), option.name)
        self._given[option.name] = given
        self._said[option.name] = said
        return None

    def apply(
        self, table: Mapping[str, Setting], given: Mapping[str, object], said: Mapping[str, str]
    ) -> None:
        """Set what somebody else's settings come to, by the table of what becomes of each. `said` is how the
        old file writes them, where that is not NAME = VALUE."""
        for name, value in given.items():
            setting = table.get(name)
            if setting is None or value is None:
                continue
            words = said.get(name, f"{name} = {shown(value)}")
            match setting.fate:
                case AppName():
                    self.app = str(value)
                case Taken(option, convert):
                    try:
                        converted = convert(value)
                    except ValueError as error:
                        self.lacks(words, str(error))
                        continue
                    if converted is not None:
                        self.put(option, converted, words)
                case Refused(instead) if setting.asks_for_something(value):
                    self.lacks(words, instead)
                case SetAside(reason) if setting.asks_for_something(value):
                    self.needs_not(words, reason)
                case Hook():
                    self.lacks(words, d.NOT_OF_APPS[o.HOOKS.name])

    def at(self, path: str) -> SiteDraft:
        """Return what is said of a path of it. What that does not take is a comment of the application."""
        if path not in self._paths:
            draft = self._paths[path] = SiteDraft()
            draft._is_path = True
            draft.notes = self.notes
        return self._paths[path]

    def has(self, option: Option[object]) -> bool:
        return option.name in self._given

    @property
    def own_environ(self) -> dict[str, str]:
        """Return the variables that stand in the section itself."""
        given = self._given.get(o.ENV.name)
        return dict(map(values.variable, given.texts)) if given else {}

    def lacks(self, said: str, why: str = "") -> None:
        self.notes.append(no_equal(said, why))

    def needs_not(self, said: str, why: str) -> None:
        self.notes.append(not_needed(said, why))

    def _of_the_whole(self, option: Option[object], given: Given, parsed: object, said: str) -> None:
        text = given.texts[-1] if given.texts else ""
        if option is o.PASTE:
            self.app = f"paste:{parsed}"
        elif key := _OF_CIRCUS.get(option.name):
            if text not in key.default:
                self._circus[key.name] = text
        elif name := _OF_STATS.get(option.name):
            if text not in option.default:
                self._stats[name] = values.switch(text) if option.is_switch else text
                self.notes += [_NAMED] if option is o.STATSD_HOST else []
        elif parsed and text not in option.default:
            self.lacks(said, d.NOT_OF_APPS[option.name])

    # ---- what it comes to

    @property
    def own_name(self) -> str:
        return self.name or str(word(serve.site_name(self.app)) or "site")

    def table(self, beside: str) -> Table:
        """Return the section of a file in the folder `beside`. An application has to be known by now."""
        self._drop_misfits()
        table = Table(("app", self.own_name), {d.APP_TARGET.name: self.app}, list(self.notes))
        if self.env_file:
            table.keys[ENV_FILE.name] = os.path.relpath(os.path.expanduser(self.env_file), beside)
        table.keys |= self._literals()
        return table

    def path_tables(self) -> list[Table]:
        """Return the sections of its paths."""
        tables = [
            Table(("app", self.own_name, "paths", path), one._literals()) for path, one in self._paths.items()
        ]
        return [table for table in tables if table.keys]

    def _literals(self) -> dict[str, Literal]:
        return {
            option.name: _literal(option, given.texts)
            for option in d.APP_OPTIONS
            if (given := self._given.get(option.name))
        }

    def circus(self) -> dict[str, Literal]:
        """Return what of [circus] belongs to it. Names of files count from the folder of the application."""
        chdir = self._given.get(o.CHDIR.name)
        found: dict[str, Literal] = {
            name: os.path.join(chdir.texts[-1], text) if chdir and name in _FILES else text
            for name, text in self._circus.items()
        }
        if level := self._given.get(o.LOG_LEVEL.name):
            found[d.LOGLEVEL.name] = level.texts[-1].lower()
        return found

    def stats(self) -> dict[str, Literal]:
        """Return what of [stats] belongs to it."""
        return self._stats if st.STATSD_HOST.name in self._stats else {}

    def _drop_misfits(self) -> None:
        """Make comments of options that cannot be had with this backend or these sockets."""
        backend = self._given.get(o.BACKEND.name)
        if backend is not None and not _is_backend(backend.texts[-1]):
            del self._given[o.BACKEND.name]
            self.lacks(self._said[o.BACKEND.name], "there is no such backend: `bigtop backends` lists them")
        frame = {name: self._given[name] for name in (o.BACKEND.name, o.BIND.name) if name in self._given}
        others = {
            name: _as_anywhere(name, given)
            for name, given in self._given.items()
            if name not in frame and name not in _UNTESTED
        }
        if not others or not _misfit({**frame, **others}):
            return
        for name, given in others.items():
            if reason := _misfit({**frame, name: given}):
                del self._given[name]
                self.lacks(self._said[name], reason.removeprefix(f"{name}: "))


def _is_backend(name: str) -> bool:
    try:
        registry.load(name)
    except ConfigError:
        return name in registry.names()
    return True


def _as_anywhere(name: str, given: Given) -> Given:
    """Return what is there on any machine, in place of what may not be."""
    if name in (o.BIND_OWNER.name, o.BIND_GROUP.name):
        return Given(("0",), given.origin)
    if name in (o.STATIC.name, o.SENDFILE_ROOT.name):
        return Given(tuple(f"{text.partition('=')[0]}=/" for text in given.texts), given.origin)
    return given


def _misfit(layer: Mapping[str, Given]) -> str:
    """Return why options cannot be had together, "" if they can; as far as any machine can tell."""
    backend = None
    if o.BACKEND.name in layer:
        try:
            backend = registry.load(layer[o.BACKEND.name].texts[-1])
        except ConfigError:  # not installed here
            layer = {name: given for name, given in layer.items() if name != o.BACKEND.name}
    try:
        site = serve.spec(resolve("a:app", o.OPTIONS, [layer]))
        if backend is not None:
            registry.require(backend, interface=backend.features.interface, options=site.options)
    except ConfigError as error:
        return str(error)
    return ""


def _literal(option: Option[object], texts: Sequence[str]) -> Literal:
    if option.many:
        return list(texts)
    text = texts[-1]
    if option.is_switch:
        return values.switch(text)
    if option.metavar in _NUMBERS and re.fullmatch(r"0|[1-9][0-9]{0,15}", text):
        return int(text)
    if option.metavar in _NUMBERS and re.fullmatch(r"(0|[1-9][0-9]{0,8})\.[0-9]{1,6}", text):
        return float(text)
    return text


def check_app(site: SiteDraft, place: str, how: str) -> None:
    """ConfigError unless an application is known; `how` says where it is named."""
    if not site.app.strip():
        raise ConfigError(f"{place}: names no application; {how}")
