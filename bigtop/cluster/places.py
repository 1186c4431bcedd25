# Places of a cluster on this machine: the folder of who leads it, of a hub, and of a node.
#
# Rules: secrets are in files for their owner alone. The folder of a hub has none but its key for TLS. Which
# cluster is meant need not be said where there is one alone.

from __future__ import annotations

import base64
import json
import os
import re
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bigtop.cluster import claims
from bigtop.cluster.keys import ACCOUNT, OPERATOR, USER, KeyPair
from bigtop.errors import BigtopError, ConfigError
from bigtop.record import Record, as_dict

LEASE: Final = 15.0  # seconds
_MOST_REPLICAS: Final = 5
NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,63}")  # of a cluster, node, tag or application


class Cluster(Record):
    """What everybody may know of a cluster. `signer` is the key whose word counts for nodes."""

    name: str
    hubs: tuple[str, ...]  # nats://HOST:PORT, or tls://
    signer: str
    ca: str = ""  # PEM, of hubs that speak TLS
    lease: float = LEASE  # seconds that a controller leads after having said so

    @property
    def replicas(self) -> int:
        """In how many hubs all that is stored is."""
        return min(len(self.hubs), _MOST_REPLICAS)

    def context(self) -> ssl.SSLContext | None:
        """Return what is needed to reach hubs by TLS, None where they speak none."""
        return ssl.create_default_context(cadata=self.ca) if self.ca else None


class Identity(Record):
    """Who somebody is to a hub."""

    name: str
    seed: str
    jwt: str


class Authority:
    """What who leads a cluster has: `account` lets in, `signer` signs what nodes and controllers heed,
    `system` lets controllers hear of hubs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cluster = cluster_of(read_json(folder / "cluster.json"))
        seeds = read_json(folder / "authority.json")
        self.account = KeyPair.of(str(seeds.get("account")))
        self.signer = KeyPair.of(str(seeds.get("signer")))
        self.system = KeyPair.of(str(seeds.get("system")))
        self._operator = KeyPair.of(str(seeds.get("operator")))

    def identity(self, name: str, allowed: claims.Permissions) -> Identity:
        """Return a new identity, which only this process has."""
        pair = KeyPair.made(USER)
        return Identity(name, pair.seed, claims.of_user(self.account, pair.public, name, allowed))

    def node_claims(self, name: str, public: str, issued: int) -> str:
        return claims.of_user(self.account, public, name, claims.node(self.cluster.name, name), issued=issued)

    def account_claims(self, revoked: Mapping[str, int], issued: int) -> str:
        """Return claims by which users do not count any more: by key, what was issued to them by then."""
        return claims.of_account(
            self._operator,
            self.account.public,
            self.cluster.name,
            has_store=True,
            revoked=revoked,
            issued=issued,
        )

    def token(self, seconds: float) -> str:
        """Return a token by which one node can join, for so long."""
        expires = time.time() + seconds
        number = f"{int(expires)}-{os.urandom(8).hex()}"
        pair, allowed = KeyPair.made(USER), claims.joiner(self.cluster.name, number)
        jwt = claims.of_user(self.account, pair.public, "token", allowed, expires)
        said = {"cluster": as_dict(self.cluster), "name": number, "seed": pair.seed, "jwt": jwt}
        return base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")


def read_token(text: str) -> tuple[Cluster, Identity]:
    """ConfigError: it is none."""
    try:
        said = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return cluster_of(said["cluster"]), Identity(said["name"], said["seed"], said["jwt"])
    except (ValueError, KeyError, TypeError):
        raise ConfigError("--token: this is no token of `bigtop cluster token`") from None


def found(name: str, hubs: tuple[str, ...], folder: Path, ca: str = "", lease: float = LEASE) -> Authority:
    """Make the keys of a new cluster in `folder`. ConfigError: there are some."""
    if not NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot be the name of a cluster: letters, digits, _ and -")
    if len(hubs) % 2 == 0:
        raise ConfigError(f"--hub: one hub, or three: {len(hubs)} are no safer than {len(hubs) - 1}")
    if (folder / "authority.json").exists():
        raise ConfigError(f"{folder}: there is a cluster already")
    operator, account, system = KeyPair.made(OPERATOR), KeyPair.made(ACCOUNT), KeyPair.made(ACCOUNT)
    signer = KeyPair.made(USER)
    secret = {"operator": operator, "account": account, "system": system, "signer": signer}
    write_json(folder / "authority.json", {name: pair.seed for name, pair in secret.items()})
    public = {
        "name": name,
        "operator": claims.of_operator(operator, name),
        "account": [account.public, claims.of_account(operator, account.public, name, has_store=True)],
        "system": [system.public, claims.of_account(operator, system.public, "system", has_store=False)],
        "routes": os.urandom(16).hex(),  # a password: one hub knows another by it
        "ca": ca,
    }
    write_json(folder / "hub.json", public)
    write_json(folder / "cluster.json", as_dict(Cluster(name, hubs, signer.public, ca, lease)))
    return Authority(folder)


def cluster_of(said: Mapping[str, Any]) -> Cluster:
    hubs, ca, lease = tuple(said["hubs"]), str(said.get("ca", "")), float(said.get("lease", LEASE))
    return Cluster(str(said["name"]), hubs, str(said["signer"]), ca, lease)


class Membership(Record):
    """What a node knows of the cluster that it joined."""

    cluster: Cluster
    identity: Identity


def read_membership(folder: Path) -> Membership:
    """ConfigError: no node lives there."""
    if not (folder / "node.json").exists():
        raise ConfigError(f"{folder}: this node has joined no cluster: bigtop cluster join HUB --token TOKEN")
    said = read_json(folder / "node.json")
    identity = said["identity"]
    return Membership(
        cluster_of(said["cluster"]), Identity(identity["name"], identity["seed"], identity["jwt"])
    )


def write_membership(folder: Path, membership: Membership) -> None:
    write_json(folder / "node.json", as_dict(membership))


def base(environ: Mapping[str, str]) -> Path:
    """Return where clusters of this user are, each in a folder of its name."""
    state = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if os.path.isabs(state):
        return Path(state) / "cluster"
    if os.geteuid() == 0:
        return Path("/var/lib/bigtop/cluster")
    data = environ.get("XDG_DATA_HOME", "")
    home = Path(environ.get("HOME") or "/")
    return (Path(data) if os.path.isabs(data) else home / ".local/share") / "bigtop/cluster"


def node_folder(environ: Mapping[str, str]) -> Path:
    """Return where the node that this machine is keeps what it has to."""
    return base(environ).with_name("node")


def chosen(name: str | None, environ: Mapping[str, str]) -> Path:
    """Return the folder of the cluster that is meant: by its name, by a path, or the only one there is."""
    folder = base(environ)
    if name:
        path = Path(name) if "/" in name else folder / name
        if not (path / "authority.json").exists():
            raise ConfigError(f"{path}: no cluster is led from here")
        return path
    there = sorted(path.parent for path in folder.glob("*/authority.json"))
    if len(there) == 1:
        return there[0]
    names = ", ".join(path.name for path in there)
    raise ConfigError(
        f"which cluster? --cluster says it: {names}"
        if there
        else f"{folder}: no cluster is led from here: bigtop cluster init, or make demo-cluster"
    )


def read_json(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"{path}: this is no JSON") from None
    if not isinstance(said, dict):
        raise ConfigError(f"{path}: this is no object of JSON")
    return said


def write_json(path: Path, said: Mapping[str, Any]) -> None:
    """Write a file for its owner alone, whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "w") as file:
            json.dump(said, file)
            file.flush()
            os.fsync(fd)
        draft.replace(path)
    except OSError as error:
        raise BigtopError(f"{path}: {error.strerror}") from None
