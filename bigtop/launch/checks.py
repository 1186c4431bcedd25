# What `bigtop run` refuses although its file can be understood; for `bigtop check`, too.
#
# Rule: nothing is started, bound or changed.

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bigtop.config.apps import AppSpec
from bigtop.config.daemon import DaemonSpec
from bigtop.control import auth
from bigtop.control.auth import Access, Curve
from bigtop.errors import ConfigError
from bigtop.launch import app


def check(spec: DaemonSpec) -> None:
    """ConfigError: `spec` cannot be run."""
    check_apps(spec.path, spec.apps)
    for word, endpoint in (("endpoint", spec.endpoint), ("pubsub_endpoint", spec.pubsub_endpoint)):
        if endpoint is None:
            continue
        try:
            auth.check(endpoint, access(spec))
        except ConfigError as error:
            raise ConfigError(f"{spec.path}: {word}: {error}") from error


def check_apps(path: str, apps: Iterable[AppSpec]) -> None:
    """ConfigError: one of them asks for what it cannot have."""
    for one in apps:
        try:
            app.check(one.site)
        except ConfigError as error:
            raise ConfigError(f"{path}: [app:{one.name}]: {error}") from error


def access(spec: DaemonSpec) -> Access:
    """Say who may come. A TCP endpoint stands in a file, and was asked for by that."""
    curve = None
    if spec.server_key and spec.client_keys:
        curve = Curve(Path(spec.server_key), Path(spec.client_keys))
    return Access(owner=spec.endpoint_owner, curve=curve, plain_loopback=True)
