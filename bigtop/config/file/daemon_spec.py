# Spec of a daemon: all that a configuration file says, frozen.

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from bigtop import zones
from bigtop.config.file.apps import AppSpec
from bigtop.config.file.plugins import PluginSpec
from bigtop.config.serve.specs.admin import AdminSpec
from bigtop.record import Record, field, replace
from bigtop.sockets import SocketSpec
from bigtop.stats.pace import Pace
from bigtop.supervisor.policy.spec import WatcherSpec

if TYPE_CHECKING:
    from bigtop.cluster.spec import AgentSpec
    from bigtop.web.spec import WebSpec


class Flag(NamedTuple):
    """What a command line says instead of a key of [circus]."""

    name: str
    value: Any


class OwnWatchers(Record):
    """Processes of Bigtop's own that are clients of its supervisor as others are."""

    web: WebSpec | None = None  # None: there is no web console
    agent: AgentSpec | None = None  # None: this is no node of a cluster


class DaemonSpec(Record):
    """All that `bigtop run` is told by its file. Endpoints may be None: there is to be none."""

    path: str = field(default="", compare=False)  # of the file, absolute
    watchers: tuple[WatcherSpec, ...] = ()
    sockets: tuple[SocketSpec, ...] = ()
    apps: tuple[AppSpec, ...] = ()
    plugins: tuple[PluginSpec, ...] = ()
    endpoint: str | None = None
    pubsub_endpoint: str | None = None
    stats_endpoint: str | None = None
    multicast_endpoint: str | None = None
    multicast_allow_ips: tuple[str, ...] = ()
    endpoint_owner: str | None = None
    server_key: str | None = None
    client_keys: str | None = None
    check_delay: float = 5.0
    warmup_delay: float = 0.0
    drain_delay: float = 0.0
    umask: int | None = None
    pidfile: str | None = None
    log_time_zone: str = zones.LOCAL
    output_prefix: bool = True
    loglevel: str = "info"
    logoutput: str = "-"
    loggerconfig: str | None = None
    fqdn_prefix: str = ""
    debug: bool = False
    debug_gc: bool = False
    stats: Pace | None = None  # None: no figures are published
    admin: AdminSpec | None = None  # None: there is no such listener
    own: OwnWatchers = field(default_factory=OwnWatchers)
    where: Mapping[str, str] = field(default_factory=dict, compare=False)  # key of [circus] -> file:line
    flags: Mapping[str, Flag] = field(default_factory=dict, compare=False)  # likewise by key
    warnings: tuple[str, ...] = ()  # file:line: what is accepted, but should be looked at

    @property
    def web(self) -> WebSpec | None:
        return self.own.web

    @property
    def agent(self) -> AgentSpec | None:
        return self.own.agent

    @property
    def plugin_watchers(self) -> tuple[WatcherSpec, ...]:
        return tuple(plugin.watcher for plugin in self.plugins)


def overridden(spec: DaemonSpec, flags: Mapping[str, Flag]) -> DaemonSpec:
    """Return `spec` with what a command line says instead."""
    where = {**spec.where, **{key: flag.name for key, flag in flags.items()}}
    values = {key: flag.value for key, flag in flags.items()}
    return replace(spec, **values, where=where, flags=flags)


def taken_at_start(old: DaemonSpec, new: DaemonSpec) -> list[str]:
    """Return the keys that differ and that only a new start heeds."""
    before, after = (dict(_at_start(one)) for one in (old, new))
    return [name for name in before if before[name] != after[name]]


def _at_start(spec: DaemonSpec) -> Iterator[tuple[str, object]]:
    yield "endpoint", spec.endpoint
    yield "pubsub_endpoint", spec.pubsub_endpoint
    yield "statsd", spec.stats is not None
    yield "stats_endpoint", spec.stats_endpoint if spec.stats is not None else None
    yield "[admin]", spec.admin
    yield "multicast_endpoint", spec.multicast_endpoint
    yield "endpoint_owner", spec.endpoint_owner
    yield "server_key", spec.server_key
    yield "client_keys", spec.client_keys
    yield "pidfile", spec.pidfile
    yield "log_time_zone", spec.log_time_zone
    yield "output_prefix", spec.output_prefix
    yield "umask", spec.umask
    yield "loglevel", spec.loglevel
    yield "logoutput", spec.logoutput
    yield "loggerconfig", spec.loggerconfig
