# A [plugin:NAME] section as a watcher that runs one plugin in a process of its own.
#
# Nothing of a plugin is imported here: what it makes of its options is found out by a process
# (launch/run/plugin_preflight.py). Circus' flapping plugin alone is not run: its five keys become those of
# all watchers, since the same is done better where deaths are seen.

from __future__ import annotations

import fnmatch
import shlex
from collections.abc import Iterable, Iterator, Mapping

from bigtop.config.file.options import daemon_options as d
from bigtop.config.file.options import watcher_options as o
from bigtop.config.file.text.document import Document, Entry, Problems, Section
from bigtop.config.file.text.expand import expanded
from bigtop.config.file.text.key import Values, read, suggestion
from bigtop.config.file.watchers import FileContext, command, read_watcher, watcher_spec
from bigtop.plugins.orders import PROGRAM, VARIABLE, Orders
from bigtop.record import Record, field, replace
from bigtop.supervisor.policy import helper
from bigtop.supervisor.policy.spec import WatcherSpec

FLAPPING = "circus.plugins.flapping.Flapping"
RELOADER = "circus.plugins.command_reloader.CommandReloader"
# What the flapping plugin counts with where its section says nothing.
_FLAPPING_DEFAULTS = {"attempts": "2", "window": "1", "retry_in": "7", "max_retry": "5", "active": "yes"}
_DEFAULTS = {o.PRIORITY: "1", o.SINGLETON: "yes", o.COPY_ENV: "yes", o.COPY_PATH: "yes"}
_KEYS = frozenset(key.name for key in (*o.WATCHER, *d.PLUGIN))
_STREAMS = tuple(f"{stream}." for stream in o.STREAMS)


class PluginSpec(Record):
    """One plugin: its process, what that is told, and the role that its section gives it (None: the one that
    it asks for). Where its section and each of its options stands, is told as file:line."""

    watcher: WatcherSpec
    orders: Orders
    role: str | None
    place: str = field(compare=False)
    places: Mapping[str, str] = field(compare=False)
    granted: str = field(
        default="", compare=False
    )  # the role, once that is known (launch/run/plugin_preflight.py)


def is_flapping(section: Section) -> bool:
    return d.USE.name in section.entries and section.entries[d.USE.name].text == FLAPPING


def flapping_defaults(sections: list[Section], problems: Problems) -> dict[str, Entry]:
    """Return the flapping.* keys that a flapping plugin means for all watchers."""
    found: dict[str, Entry] = {}
    for section in filter(is_flapping, sections):
        problems.warn(
            section.place, f"[{section.title}] is not run: Bigtop counts deaths itself, by the same keys"
        )
        for name, default in _FLAPPING_DEFAULTS.items():
            found[f"flapping.{name}"] = section.entries.get(name, Entry((default,), section.place))
    return found


def plugins(
    document: Document, circus: Values, around: FileContext
) -> list[tuple[Values, PluginSpec | None]]:
    """Read all [plugin:NAME] sections, and that which a key of [circus] stands for."""
    sections = sorted(document.of_kind("plugin"), key=lambda section: section.name)
    found = [plugin(section, circus, around) for section in sections if not is_flapping(section)]
    if names := circus[d.RELOAD_ON_CHANGE]:
        place = circus.place_of(d.RELOAD_ON_CHANGE)
        for problem in _naming_nobody(names, document):
            around.problems.error(place, f"{d.RELOAD_ON_CHANGE.name}: {problem}")
        said = {"use": (RELOADER,), "watchers": names, "restart_by": ("reload",)}
        entries = {key: Entry(texts, place) for key, texts in said.items()}
        found.append(plugin(Section("plugin", d.RELOAD_ON_CHANGE.name, place, entries), circus, around))
    return found


def _naming_nobody(patterns: Iterable[str], document: Document) -> Iterator[str]:
    """Say of each pattern for which there is no watcher that there is none."""
    watchers = [section.name.lower() for section in document.of_kind("watcher")]
    apps = [section.name.lower() for section in document.of_kind("app")]
    for pattern in patterns:
        if fnmatch.filter(watchers, pattern.lower()):
            continue
        if fnmatch.filter(apps, pattern.lower()):
            yield f"{pattern} is an application: `bigtop ctl reload {pattern}` loads its code"
        else:
            yield f"there is no watcher {pattern}{suggestion(pattern.lower(), watchers)}"


def plugin(section: Section, circus: Values, around: FileContext) -> tuple[Values, PluginSpec | None]:
    """Read a [plugin:NAME] section; None once there are errors."""
    section = replace(section, kind="", name=section.title)  # as Circus names its watcher
    ours = {key.name for key in d.PLUGIN}
    assumed = {key.name: Entry((text,), section.place) for key, text in _DEFAULTS.items()}
    entries = {name: entry for name, entry in section.entries.items() if name not in ours}
    values, env = read_watcher(replace(section, entries={**assumed, **entries}), replace(around, defaults={}))
    own, orders, places = _orders(section, values, circus, around)
    values = replace(
        values, settings={**own.settings, **values.settings}, given={**own.given, **values.given}
    )
    env[VARIABLE] = orders.encode()
    base = command(values, env, around.problems)
    words = ("-P", "-m", "bigtop.plugins.host", helper.ENDPOINT, helper.EVENTS)
    spec = watcher_spec(section.name, values, helper.python(base, *words), around)
    if spec is None:
        return values, None
    watcher = replace(spec, options=())
    return values, PluginSpec(watcher, orders, own[d.ROLE], str(section.place), places)


def _orders(
    section: Section, values: Values, circus: Values, around: FileContext
) -> tuple[Values, Orders, dict[str, str]]:
    """Return the keys that only plugins have, what the plugin is told, and where each key stands."""
    everything = expanded({**section.entries, **section.options}, around.environments.everywhere)
    own = read(replace(section, entries=everything, options={}), d.PLUGIN, around.problems)
    given = {
        name: entry
        for name, entry in everything.items()
        if (name in section.options or name not in _KEYS) and not name.startswith(_STREAMS)
    }
    use = _use(section, own, around)
    if use == PROGRAM:
        given_apart = o.ARGS.name in values.given and values.given[o.ARGS.name].is_list
        words = [values[o.CMD], *(map(shlex.quote, values[o.ARGS]) if given_apart else values[o.ARGS])]
        given["cmd"] = Entry((" ".join(words),), values.place_of(o.CMD))
    if own.is_given(d.PLUGIN_EVENTS):
        given["events"] = everything[d.PLUGIN_EVENTS.name]
    config = {name: entry.text for name, entry in everything.items() if name != d.USE.name}
    orders = Orders(
        name=section.name,
        use=use,
        given={name: entry.texts for name, entry in given.items()},
        config={**config, "name": section.name},
        reserved=tuple(sorted(_KEYS - ({"cmd", "events"} if use == PROGRAM else {"events"}))),
        state_file=own[d.STATE_FILE],
        hang_timeout=own[d.HANG_TIMEOUT],
        loglevel="debug" if circus[d.DEBUG] else circus[d.LOGLEVEL],
        check_delay=circus[d.CHECK_DELAY],
    )
    places = {name: str(entry.place) for name, entry in everything.items()}
    return own, orders, places


def _use(section: Section, own: Values, around: FileContext) -> str:
    use = own[d.USE]
    if o.CMD.name in section.entries:
        if use:
            around.problems.error(
                section.entries[o.CMD.name].place, "cmd: give use, a class, or cmd, a program, not both"
            )
        return PROGRAM
    if not use and d.USE.name not in section.entries:
        around.problems.error(
            section.place, f"[{section.title}] needs use, the class of the plugin, or cmd, its program"
        )
    return use or ""
