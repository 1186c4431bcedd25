# Authorisation: over TCP a key says who its holder is (CURVE, RFC 26), and its file what that one may.
#
# Rule: what a key may is looked up at every command, so that a key file that is removed, or changed, counts
# at once. endpoint_security.py has the rules for those without keys.
#
# ZeroMQ asks a handler in this process about every key that connects (ZAP, RFC 27), over a socket inside the
# context; what the handler returns as user id stands on every message of that connection.

from __future__ import annotations

import os
from collections.abc import Sequence

import zmq

from bigtop.control import keys
from bigtop.control.commands.base import Role
from bigtop.control.server.endpoint_security import Curve
from bigtop.control.server.zmq_socket import EdgeSocket
from bigtop.errors import ConfigError

ZAP_ADDRESS = "inproc://zeromq.zap.01"
ROLES = {role.name.lower(): role for role in Role}


def check_keys(curve: Curve) -> None:
    """ConfigError: the secret key or the folder of the clients' keys cannot be read."""
    keys.read_secret(curve.server_key)
    if not os.access(curve.clients, os.R_OK | os.X_OK) or not curve.clients.is_dir():
        raise ConfigError(f"{curve.clients}: no such folder of client keys, or it cannot be read")


class Guard:
    """Answers ZeroMQ's questions about keys, and ours about roles."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], curve: Curve) -> None:
        check_keys(curve)
        self._key = keys.read_secret(curve.server_key)
        self._clients = curve.clients
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
        return self.roles().get(public)

    def roles(self) -> dict[str, Role | None]:
        """Return what the holders of all keys may."""
        found: dict[str, Role | None] = {}
        for path in sorted(self._clients.glob("*" + keys.PUBLIC)):
            try:
                key = keys.read(path)
            except ConfigError:  # a broken file lets nobody in and keeps nobody out
                continue
            found.setdefault(key.public, ROLES.get(key.role))
        return found

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
