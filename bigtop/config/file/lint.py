# Lint: what is allowed and still deserves a word, unwise settings of a configuration that is right.

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

from bigtop.config.file.daemon_spec import DaemonSpec
from bigtop.config.file.text.document import Place, Problems
from bigtop.config.file.text.expand import variables
from bigtop.supervisor.policy.spec import Command, WatcherSpec

_LOOPBACK = re.compile(r"tcp://(127\.|localhost:|\[::1\]:)")


def warn(daemon: DaemonSpec, places: Mapping[str, Place], problems: Problems) -> None:
    """Add a warning for each unwise setting."""
    start = min(places.values(), default=Place("", 1))
    for words in _of_daemon(daemon):
        problems.warn(places.get("circus", Place(start.file, 1)), words)
    as_root = [watcher.name for watcher in daemon.watchers if _runs_as_root(watcher)]
    if as_root:
        first = places[f"watcher:{as_root[0]}"]
        problems.warn(first, f"uid is not given, so these run as root: {', '.join(as_root)}")
    for watcher in daemon.watchers:
        for words in _of_watcher(watcher):
            problems.warn(places[f"watcher:{watcher.name}"], f"[watcher:{watcher.name}] {words}")


def _of_daemon(daemon: DaemonSpec) -> Iterator[str]:
    plain = not (daemon.server_key and daemon.client_keys)
    endpoints = (daemon.endpoint, daemon.pubsub_endpoint) if plain else ()
    if any(url and url.startswith("tcp:") and not _LOOPBACK.match(url) for url in endpoints):
        yield "endpoint: whoever reaches this address commands all processes; bind 127.0.0.1 or ipc://"
    elif any(url and url.startswith("tcp:") for url in endpoints):
        yield "endpoint: every user of this machine may command all processes; ipc:// or keys keep others out"
    if daemon.debug_gc:
        yield "debug_gc is accepted, but nothing is logged of Python's garbage collector"
    if daemon.fqdn_prefix:
        yield "fqdn_prefix is accepted, but nothing here tells the host's name"
    if daemon.endpoint_owner and not (daemon.endpoint or "").startswith("ipc:"):
        yield "endpoint_owner does nothing: only an ipc:// endpoint is a file that has an owner"


def _of_watcher(watcher: WatcherSpec) -> Iterator[str]:
    target, life = watcher.target, watcher.lifetime
    assert isinstance(target, Command)
    if "." in watcher.name or " " in watcher.name:
        yield "has a blank or a dot in its name; clients of Circus misread its events"
    if watcher.numprocesses == 0:
        yield "has numprocesses = 0 and runs nothing"
    args = (target.args,) if isinstance(target.args, str) else target.args
    for name in sorted(variables(" ".join((target.cmd, *args, target.shell_args)))):
        if name.startswith("env."):
            yield f"names $(circus.{name}), which is set nowhere and stays as it is"
    if target.shell_args and not target.shell:
        yield "has shell_args, which do nothing without shell = yes"
    if target.all_sockets:
        yield "has use_sockets and sees every socket; name in `sockets` those that it needs"
    if life.on_demand and not (watcher.sockets or target.all_sockets):
        yield "is on_demand but names no socket, so nothing will ever start it"
    if life.idle_stop and not life.on_demand:
        yield "has idle_stop, which does nothing without on_demand = yes"
    if watcher.stop.graceful_timeout == 0:
        yield "has graceful_timeout = 0: its processes are killed without being asked"


def _runs_as_root(watcher: WatcherSpec) -> bool:
    return isinstance(watcher.target, Command) and watcher.target.context.user is None and os.geteuid() == 0
