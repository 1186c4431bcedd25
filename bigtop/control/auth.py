# Who may send commands, and which.
#
# Rule 1: a unix socket belongs to one user (mode 0600): whoever can open it may do everything. Over TCP a key
# says who it is and what it may (CURVE, RFC 26). Without keys TCP is for loopback alone, and only where that
# was asked for. Rule 2: what a key may is looked up at every command, so that a key file that is removed,
# or changed, counts at once.
#
# ZeroMQ asks a handler in this process about every key that connects (ZAP, RFC 27), over a socket inside the
# context; what the handler returns as user id stands on every message of that connection.

from __future__ import annotations

import ipaddress
import os
import pwd
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import zmq

from bigtop.control import keys
from bigtop.control.command import Role
from bigtop.control.edge import EdgeSocket
from bigtop.errors import ConfigError

ZAP_ADDRESS = "inproc://zeromq.zap.01"
ROLES = {role.name.lower(): role for role in Role}


@dataclass(frozen=True, slots=True)
class Curve:
    """`server_key`: the secret key file of this server; `clients`: the folder of those that may come."""

    server_key: Path
    clients: Path


@dataclass(frozen=True, slots=True)
class Access:
    """How the channel is protected. `owner` and `mode` are those of the unix sockets."""

    mode: int = 0o600
    owner: str | None = None  # name or number
    curve: Curve | None = None
    plain_loopback: bool = False  # TCP without keys: any user of this machine may do everything


def check(endpoint: str, access: Access) -> None:
    """ConfigError: the endpoint would be open to others than those who are meant."""
    if endpoint.startswith("ipc://"):
        return
    if not endpoint.startswith("tcp://"):
        raise ConfigError(f"{endpoint}: an endpoint begins with ipc:// or tcp://")
    if access.curve is not None:
        return
    if not is_loopback(endpoint):
        raise ConfigError(
            f"{endpoint}: anybody who reaches it could run anything here; use keys (bigtop ctl keygen),"
            " a unix socket (ipc://), or a loopback address"
        )
    if not access.plain_loopback:
        raise ConfigError(f"{endpoint}: TCP needs keys (bigtop ctl keygen); a unix socket (ipc://) does not")


def is_loopback(endpoint: str) -> bool:
    host = endpoint.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, "*", or an interface
        return False


def uid_of(owner: str) -> int:
    try:
        return int(owner) if re.fullmatch("[0-9]+", owner) else pwd.getpwnam(owner).pw_uid
    except KeyError:
        raise ConfigError(f"endpoint_owner: there is no user {owner!r}") from None


class Guard:
    """Answers ZeroMQ's questions about keys, and ours about roles."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], curve: Curve) -> None:
        self._key = keys.read_secret(curve.server_key)
        self._clients = curve.clients
        if not os.access(curve.clients, os.R_OK | os.X_OK):
            raise ConfigError(f"{curve.clients}: no such folder of client keys, or it cannot be read")
        self._zap = EdgeSocket(_bound(context), self._answer)

    def protect(self, socket: zmq.Socket[bytes]) -> None:
        """Before bind()."""
        assert self._key.secret is not None
        socket.curve_server = True
        socket.curve_secretkey = self._key.secret.encode()
        socket.zap_domain = b"bigtop"
        # Without this ZeroMQ lets in whoever it finds nobody to ask about.
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def role(self, public: str) -> Role | None:
        """Return what the holder of a key may; None for an unknown key, or one without a known role."""
        for path in sorted(self._clients.glob("*" + keys.PUBLIC)):
            try:
                key = keys.read(path)
            except ConfigError:  # a broken file lets nobody in and keeps nobody out
                continue
            if key.public == public:
                return ROLES.get(key.role)
        return None

    def close(self) -> None:
        self._zap.close(linger=0)

    def _answer(self, frames: Sequence[zmq.Frame]) -> None:
        # ROUTER's two, then: version, request id, domain, address, identity, mechanism, credentials.
        peer, empty, version, number, *_, mechanism, credential = (frame.bytes for frame in frames)
        public = keys.z85(credential) if mechanism == b"CURVE" else ""
        known = bool(public) and self.role(public) is not None
        status = (b"200", b"OK") if known else (b"400", b"no such key")
        user = public.encode() if known else b""
        self._zap.send([peer, empty, version, number, *status, user, b""])


def _bound(context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.ROUTER)
    socket.bind(ZAP_ADDRESS)
    return socket
