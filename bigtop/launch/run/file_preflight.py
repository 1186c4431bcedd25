# Preflight check of a configuration file: what `bigtop run` refuses on this machine although it can be
# understood. `bigtop check` and reloadconfig ask here, too. Its sites have one of their own
# (config/serve/site_preflight.py).
#
# Rules: nothing is started, bound or changed. A problem is told with the line of the file, or the flag, that
# asks for what cannot be had.

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

from bigtop import emission, log
from bigtop.config.file.daemon_spec import DaemonSpec
from bigtop.control import addresses
from bigtop.control.server import endpoint_security
from bigtop.control.server.endpoint_security import Curve, EndpointSecurity
from bigtop.errors import ConfigError
from bigtop.supervisor.policy.spec import Command, Stdio
from bigtop.system.files import safeopen


def check(spec: DaemonSpec) -> None:
    """ConfigError: `spec` cannot be run; one line for each reason."""
    problems = [f"{spec.where.get(key, spec.path)}: {key}: {problem}" for key, problem in _problems(spec)]
    if problems:
        raise ConfigError("\n".join(problems))


_ROTATING = ("max_bytes", "backup_count", "rotate_when")


def notes(spec: DaemonSpec) -> Iterator[str]:
    """Say what has no effect here, although it can be run."""
    for watcher in (*spec.watchers, *spec.plugin_watchers):
        stdio = watcher.target.stdio if isinstance(watcher.target, Command) else Stdio()
        for which, stream in (("stdout", stdio.stdout), ("stderr", stdio.stderr)):
            options = dict(stream.options) if stream is not None else {}
            asked = ", ".join(name for name in _ROTATING if options.get(name, "0") != "0")
            path = options.get("filename", "")
            with contextlib.suppress(OSError):  # told when it is written to
                if asked and path and not safeopen.is_plain(path):
                    yield (
                        f"{spec.path}: {watcher.name}: {which}_stream: {path} is no regular file and is not "
                        f"rotated: {asked} has no effect there"
                    )


def security(spec: DaemonSpec) -> EndpointSecurity:
    """Say who may come to the control channel. A TCP endpoint stands in a file, and was asked for by that."""
    curve = None
    if spec.server_key and spec.client_keys:
        curve = Curve(Path(spec.server_key), Path(spec.client_keys))
    return EndpointSecurity(owner=spec.endpoint_owner, curve=curve, plain_loopback=True)


def _problems(spec: DaemonSpec) -> Iterator[tuple[str, str]]:
    """Yield what is wrong, by key of [circus]."""
    if bool(spec.server_key) != bool(spec.client_keys):
        given, lacking = ("server_key", "client_keys") if spec.server_key else ("client_keys", "server_key")
        yield given, f"keeps nobody out without {lacking}"
    elif (curve := security(spec).curve) is not None:
        try:
            from bigtop.control.server import auth  # with ZeroMQ, for those who have keys

            auth.check_keys(curve)
        except ConfigError as error:
            yield "server_key", str(error)
    if problem := emission.lacking(None if spec.stats is None else spec.stats.otlp):
        yield "[stats] otlp_endpoint", problem
    stats_endpoint = spec.stats_endpoint if spec.stats is not None else None
    for key, endpoint in (
        ("endpoint", spec.endpoint),
        ("pubsub_endpoint", spec.pubsub_endpoint),
        ("stats_endpoint", stats_endpoint),
    ):
        if endpoint is None:
            continue
        try:
            endpoint_security.check(endpoint, security(spec))
            addresses.check(endpoint)
        except ConfigError as error:
            yield key, str(error)
    yield from _of_console(spec)
    yield from _of_agent(spec)
    yield from _of_log(spec)
    if spec.pidfile and (problem := _unwritable(spec.pidfile)):
        yield "pidfile", problem


def _of_log(spec: DaemonSpec) -> Iterator[tuple[str, str]]:
    if spec.loggerconfig is not None and spec.loggerconfig.lower() != "default":
        try:
            log.check_config(spec.loggerconfig)
        except ConfigError as error:
            yield "loggerconfig", str(error)
    elif _is_file(spec.logoutput) and (problem := _unwritable(spec.logoutput)):
        yield "logoutput", problem


def _of_console(spec: DaemonSpec) -> Iterator[tuple[str, str]]:
    web = spec.web
    if web is None:
        return
    from bigtop.web import preflight  # with ZeroMQ, for those who have a console

    for option, problem in preflight.problems(web):
        yield f"[web] {_WEB_KEYS.get(option, option)}", problem
    if spec.server_key and (spec.endpoint or "").startswith("tcp://") and not web.keys:
        yield "[web] keys", "the control channel takes keys (server_key): say which folder has some for it"


def _of_agent(spec: DaemonSpec) -> Iterator[tuple[str, str]]:
    if spec.agent is None:
        return
    from bigtop.cluster import spec as agents  # for those who are nodes

    for option, problem in agents.problems(spec.agent):
        yield f"[cluster] {option}", problem
    for package in ("nats", "cryptography"):
        if importlib.util.find_spec(package) is None:
            yield "[cluster] folder", f"a node takes {package}: pip install 'bigtop[cluster]'"


_WEB_KEYS = {"proxies": "trusted_proxies"}


def _is_file(logoutput: str) -> bool:
    return logoutput != log.STANDARD and not logoutput.startswith("syslog:")


def _unwritable(path: str) -> str:
    """Return why a file cannot be written, "" if it seems that it can."""
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        return f"{path} is a directory"
    if os.path.exists(path):
        return "" if os.access(path, os.W_OK) else f"{path} may not be written"
    if not os.path.isdir(folder):
        return f"there is no directory {folder}"
    return "" if os.access(folder, os.W_OK | os.X_OK) else f"{folder} may not be written to"
