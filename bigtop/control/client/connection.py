# Connection of a client: what its sockets need before they can talk, keys, a tunnel, the address of events.
#
# Rule: no policy on time here; client.py waits, in its two ways.

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar

import zmq

from bigtop.control import addresses, keys
from bigtop.control.client import ssh_tunnel
from bigtop.control.client.ssh_tunnel import Tunnel
from bigtop.errors import BigtopError, ConfigError
from bigtop.record import Record, replace

# Sockets for threads and sockets for asyncio have this in common.
S = TypeVar("S", bound=zmq.Socket[Any])


class Identity(Record):
    """Who we are (a secret key file) and whom we expect (a public key, or its file)."""

    secret_key: Path
    server_key: str


class Way(Record):
    """How to reach a supervisor: an endpoint, with keys, through a tunnel."""

    endpoint: str
    identity: Identity | None = None
    tunnel: Tunnel | None = None


def dealer(context: zmq.Context[S], way: Way) -> S:
    """Return a socket for commands. UnreachableError where that can be told at once."""
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.IDENTITY, os.urandom(16).hex().encode())
    # Nothing is queued for somebody who is not there: a command that timed out must not be obeyed later.
    socket.setsockopt(zmq.IMMEDIATE, 1)
    return _connected(socket, way)


def subscriber(context: zmq.Context[S], way: Way, topics: tuple[str, ...]) -> S:
    socket = context.socket(zmq.SUB)
    for topic in topics or ("",):
        socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
    return _connected(socket, way)


def way_to_events(way: Way, published: str) -> Way:
    """Return the way to the events of the supervisor that `way` leads to, which publishes at `published`."""
    if published.startswith("tcp://") and way.endpoint.startswith("tcp://"):
        host, _, port = published.removeprefix("tcp://").rpartition(":")
        # One that listens on every address does not know by which one it was reached.
        if host in ("0.0.0.0", "*", "[::]"):  # noqa: S104
            published = f"{way.endpoint.rpartition(':')[0]}:{port}"
    return replace(way, endpoint=published)


def _connected(socket: S, way: Way) -> S:
    socket.setsockopt(zmq.LINGER, 0)
    try:
        if way.identity is not None:
            _identify(socket, way.identity)
        if way.tunnel is not None:
            ssh_tunnel.connect(socket, way.endpoint, way.tunnel)
        else:
            if way.endpoint.startswith("ipc://") and not addresses.answers(way.endpoint[len("ipc://") :]):
                raise addresses.UnreachableError(f"{way.endpoint}: nobody answers, or this user may not ask")
            socket.setsockopt(zmq.IPV6, int("[" in way.endpoint))
            socket.connect(way.endpoint)
    except zmq.ZMQError as error:
        socket.close()
        raise ConfigError(f"{way.endpoint}: {error.strerror}") from None
    except BigtopError:
        socket.close()
        raise
    return socket


def _identify(socket: zmq.Socket[Any], identity: Identity) -> None:
    own = keys.read_secret(identity.secret_key)
    assert own.secret is not None
    socket.curve_publickey = own.public.encode()
    socket.curve_secretkey = own.secret.encode()
    socket.curve_serverkey = keys.public_of(identity.server_key).encode()
