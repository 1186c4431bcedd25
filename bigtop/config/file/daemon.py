# A configuration file, INI or TOML, as one frozen DaemonSpec (daemon_spec.py).
#
# The way: ini.py or toml.py (a Document) -> expand.py (the environment) -> watchers.py, plugins.py, apps.py,
# sockets.py (a spec for each section) -> here. Rule: either everything is right, or one ConfigError holds all
# that is wrong.

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import chain

from bigtop.cluster.spec import NAME as AGENT
from bigtop.config.file import encrypted, helper_sections, lint
from bigtop.config.file.apps import AppSpec, app, shared_tls
from bigtop.config.file.daemon_spec import DaemonSpec
from bigtop.config.file.listeners import check_taken
from bigtop.config.file.options import cluster_options as cl
from bigtop.config.file.options import daemon_options as d
from bigtop.config.file.options import stats_options as st
from bigtop.config.file.options import web_options as w
from bigtop.config.file.paths import with_paths
from bigtop.config.file.plugins import flapping_defaults
from bigtop.config.file.plugins import plugins as all_plugins
from bigtop.config.file.routing import routed
from bigtop.config.file.sockets import socket
from bigtop.config.file.text import ini, toml
from bigtop.config.file.text.document import Document, Place, Problems, Section
from bigtop.config.file.text.expand import Environments, expanded
from bigtop.config.file.text.key import Keys, Values, read, refuse_unknown, suggestion, suspect_unknown
from bigtop.config.file.watchers import FileContext, watcher
from bigtop.config.serve.settings import Given, ServeConfig, Setting
from bigtop.config.serve.tls_sources import KEEPER
from bigtop.errors import ConfigError
from bigtop.record import Record, replace
from bigtop.sockets import SocketSpec
from bigtop.stats.pace import NAME
from bigtop.supervisor.policy.spec import Command, WatcherSpec
from bigtop.supervisor.processes.commands.resolve import sockets_used
from bigtop.system.files import workdir
from bigtop.web.spec import NAME as CONSOLE

_PLAIN = {
    "stats": st.STATS,
    "admin": st.ADMIN_KEYS,
    "web": w.WEB,
    "cluster": cl.CLUSTER,
}  # sections without a name


class Resolved(Record):
    """A DaemonSpec, and for people each value with its place."""

    daemon: DaemonSpec
    sections: tuple[Values, ...]
    apps: tuple[tuple[Values, ServeConfig], ...]


def load(path: str) -> DaemonSpec:
    """Read a file; raises ConfigError with a line for each mistake."""
    return resolve(path, os.environ).daemon


def of_tables(source: str, tables: Mapping[str, object]) -> DaemonSpec:
    """Return what a program gave instead of a file, in the form of TOML; ConfigError as load() raises it."""
    problems = Problems()
    document = toml.of_tables(source, tables, problems)
    try:
        return _resolved(document, os.environ, problems).daemon
    except ConfigError as error:  # there are no lines to tell of
        raise ConfigError(str(error).replace(f"{source}:1: ", f"{source}: ")) from None


def resolve(path: str, environ: Mapping[str, str], drafts: Mapping[str, str] = ini.NOTHING) -> Resolved:
    """Read a file and keep the place of each value. `drafts` are texts that stand for files."""
    problems = Problems()
    resolved = _resolved(read_document(path, environ, problems, drafts), environ, problems)
    return replace(resolved, daemon=replace(resolved.daemon, path=workdir.absolute(path)))


def _resolved(document: Document, environ: Mapping[str, str], problems: Problems) -> Resolved:
    environments = Environments(document, environ)
    circus = _circus(document, environments, problems)
    around = FileContext(
        environments,
        problems,
        document.strict,
        frozenset(section.name for section in document.of_kind("socket")),
        flapping_defaults(document.of_kind("plugin"), problems),
    )
    for section in document.of_kind("tls"):
        around = replace(around, tls=shared_tls(section, around))
    sockets = [socket(section, around) for section in _sorted(document, "socket")]
    watchers = [watcher(section, around) for section in _sorted(document, "watcher")]
    plugins = all_plugins(document, circus, around)
    apps = [found for section in _sorted(document, "app") if (found := app(section, around))]
    apps = routed(apps, document.of_kind("app"), problems)
    apps, by_path = with_paths(apps, document.of_kind("path"), around)
    encrypted.check(apps, (spec for _, spec in sockets if spec), problems)
    plain = {
        kind: _plain_sections(document, kind, keys, environments, problems) for kind, keys in _PLAIN.items()
    }
    _check_intervals(plain["stats"], document, problems)
    daemon = replace(
        _daemon(circus),
        **helper_sections.asked_for(circus, plain, problems),
        watchers=tuple(spec for _, spec in watchers if spec),
        sockets=tuple(_queued(spec, watchers, apps) for _, spec in sockets if spec),
        apps=tuple(spec for _, _, spec in apps),
        plugins=tuple(spec for _, spec in plugins if spec),
        where=_where(circus, [*plain["web"], *plain["cluster"]]),
    )
    _check(daemon, document, problems)
    values = [circus, *chain(*plain.values()), *(found for found, _ in [*sockets, *watchers, *plugins])]
    values += by_path
    return Resolved(
        replace(daemon, warnings=problems.shown_warnings()),
        tuple(values),
        tuple((own, config) for own, config, _ in apps),
    )


def read_document(
    path: str, environ: Mapping[str, str], problems: Problems, drafts: Mapping[str, str] = ini.NOTHING
) -> Document:
    """Read a file as what its name says it is."""
    reader = toml.read if path.endswith(".toml") else ini.read
    return reader(path, environ, problems, drafts)


def _sorted(document: Document, kind: str) -> list[Section]:
    return sorted(document.of_kind(kind), key=lambda section: section.name)


# ---- [circus]


def _circus(document: Document, environments: Environments, problems: Problems) -> Values:
    section = document.only("circus")
    check = refuse_unknown if document.strict else suspect_unknown
    check(section, [key.name for key in d.CIRCUS], problems)
    entries = expanded(section.entries, environments.everywhere)
    values = read(replace(section, entries=entries), d.CIRCUS, problems)
    if document.strict:
        return values
    settings = {
        name: Setting(Given((url,), "default of Circus"), url)
        for name, url in d.INI_ENDPOINTS.items()
        if name not in values.given
    }
    if values.is_given(d.STATS_ENDPOINT) and not values[d.STATSD]:
        place = values.place_of(d.STATS_ENDPOINT)
        problems.warn(place, "stats_endpoint switches statsd on, as in Circus; say statsd = yes")
        settings[d.STATSD.name] = Setting(Given(("yes",), str(place)), True)
    return replace(values, settings={**values.settings, **settings})


def _daemon(circus: Values) -> DaemonSpec:
    return DaemonSpec(
        endpoint=circus[d.ENDPOINT],
        pubsub_endpoint=circus[d.PUBSUB_ENDPOINT],
        stats_endpoint=circus[d.STATS_ENDPOINT],
        multicast_endpoint=circus[d.MULTICAST_ENDPOINT],
        multicast_allow_ips=circus[d.MULTICAST_ALLOW_IPS],
        endpoint_owner=circus[d.ENDPOINT_OWNER],
        server_key=circus[d.SERVER_KEY],
        client_keys=circus[d.CLIENT_KEYS],
        check_delay=circus[d.CHECK_DELAY],
        warmup_delay=circus[d.WARMUP_DELAY],
        drain_delay=circus[d.DRAIN_DELAY],
        umask=circus[d.UMASK],
        pidfile=circus[d.PIDFILE],
        log_time_zone=circus[d.LOG_TIME_ZONE],
        output_prefix=circus[d.OUTPUT_PREFIX],
        loglevel=circus[d.LOGLEVEL],
        logoutput=circus[d.LOGOUTPUT],
        loggerconfig=circus[d.LOGGERCONFIG],
        fqdn_prefix=circus[d.FQDN_PREFIX],
        debug=circus[d.DEBUG],
        debug_gc=circus[d.DEBUG_GC],
    )


def _where(circus: Values, consoles: Sequence[Values]) -> dict[str, str]:
    """Return key -> file:line."""
    found = {name: str(entry.place) for name, entry in circus.given.items()}
    for one in consoles:
        found |= {f"[{one.title}] {name}": str(entry.place) for name, entry in one.given.items()}
    return found


# ---- sections without a name


def _plain_sections(
    document: Document, kind: str, keys: Keys, environments: Environments, problems: Problems
) -> list[Values]:
    """Return the values of a section that has no name; none where there is none."""
    found = []
    for section in document.of_kind(kind):
        check = refuse_unknown if document.strict else suspect_unknown
        check(section, [key.name for key in keys], problems)
        entries = expanded(section.entries, environments.everywhere)
        found.append(read(replace(section, entries=entries), keys, problems))
    return found


def _check_intervals(sections: Sequence[Values], document: Document, problems: Problems) -> None:
    """Every name in `intervals` exists."""
    names = {section.name.lower() for kind in ("watcher", "app") for section in document.of_kind(kind)}
    names |= {section.title.lower() for section in document.of_kind("plugin")}
    for values in sections:
        for name, _ in values[st.INTERVALS]:
            if name not in names:
                problems.error(
                    values.place_of(st.INTERVALS),
                    f"intervals: there is no watcher or app {name}{suggestion(name, names)}",
                )


# ---- what concerns several sections


def _check(daemon: DaemonSpec, document: Document, problems: Problems) -> None:
    """ConfigError for all that is wrong so far; and warn of what is not."""
    helpers = {}
    if daemon.stats is not None or daemon.admin is not None:
        helpers[NAME] = "publishes figures: give it another one, or do without [stats], statsd and [admin]"
    if daemon.agent is not None:
        helpers[AGENT] = "answers for this node: give it another one, or do without [cluster]"
    if daemon.web is not None:
        helpers[CONSOLE] = "serves the web console: give it another one, or do without [web] and httpd"
    if any(app.site.tls.acme is not None for app in daemon.apps):
        helpers[KEEPER] = "gets certificates: give it another one, or do without tls = auto:NAMES"
    _check_names(document, helpers, problems)
    places = {section.title: section.place for section in document.sections}
    check_taken(daemon, document, problems)
    _check_dependencies(daemon, document, problems)
    problems.raise_any()
    _check_work(document, problems)
    lint.warn(daemon, places, problems)


def _check_work(document: Document, problems: Problems) -> None:
    if not any(document.of_kind(kind) for kind in ("watcher", "app", "plugin")):
        place = document.sections[0].place if document.sections else Place(document.path, 1)
        problems.warn(place, "there is nothing to run: no [watcher:NAME], no [app:NAME], no [plugin:NAME]")


def _queued(
    spec: SocketSpec,
    watchers: Sequence[tuple[Values, WatcherSpec | None]],
    apps: Sequence[tuple[Values, ServeConfig, AppSpec]],
) -> SocketSpec:
    """Give each process a queue of its own where that was asked for, and nobody needs one that all share."""
    commands = [watcher for _, watcher in watchers if watcher]
    shared = {name for _, _, app in apps for name in app.sockets}
    for command in commands:
        if command.lifetime.on_demand:
            shared.update(sockets_used(command, {spec.name}))
        if isinstance(command.target, Command) and command.target.stdio.stdin_socket:
            shared.add(command.target.stdio.stdin_socket)
    return replace(spec, own_queues=spec.reuse_port and spec.kind == "stream" and spec.name not in shared)


def _check_names(document: Document, helpers: Mapping[str, str], problems: Problems) -> None:
    """Names are looked up without regard to case, so none may be there twice; those of `helpers` are
    taken, and why."""
    taken: dict[tuple[bool, str], Section] = {}
    for section in document.sections:
        if section.kind not in ("watcher", "app", "plugin", "socket"):
            continue
        name = section.title if section.kind == "plugin" else section.name
        if not section.name.strip():
            problems.error(section.place, f"[{section.kind}:] needs a name, such as [{section.kind}:web]")
        key = (section.kind == "socket", name.lower())
        if first := taken.get(key):
            problems.error(
                section.place,
                f"[{section.title}] has the name of [{first.title}] at {first.place}; case does not count",
            )
        if not key[0] and (what := helpers.get(key[1])) is not None:
            problems.error(section.place, f"[{section.title}] has the name of the process that {what}")
        taken.setdefault(key, section)


def _check_dependencies(daemon: DaemonSpec, document: Document, problems: Problems) -> None:
    """Every name in `depends` exists, and nobody waits for himself."""
    wants = {spec.name.lower(): _lower(spec.depends) for spec in (*daemon.watchers, *daemon.plugin_watchers)}
    sections = {s.name.lower(): s for s in document.sections if s.kind in ("watcher", "app")}
    wants |= {spec.name.lower(): _lower(spec.depends) for spec in daemon.apps}
    for name, depends in wants.items():
        section = sections.get(name)
        if section is None:
            continue
        # Where an app and a watcher claim one name, an error of its own, this section may say nothing.
        entry = section.entries.get("depends")
        place = entry.place if entry else section.place
        for other in depends:
            if other not in sections:
                problems.error(
                    place, f"depends: there is no watcher or app {other}{suggestion(other, sections)}"
                )
        if circle := _circle(name, wants):
            problems.error(place, f"depends: {' -> '.join(circle)} wait for each other")


def _lower(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.lower() for name in names)


def _circle(name: str, wants: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return the way from a name back to itself, if there is one."""
    ways = [[name, other] for other in wants[name]]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        if way[-1] == name:
            return way
        if way[-1] not in seen:
            seen.add(way[-1])
            ways += [[*way, other] for other in wants.get(way[-1], ())]
    return []
