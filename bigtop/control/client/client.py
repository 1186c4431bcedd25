# Client of a supervisor that waits for replies; async_client.py does the same without waiting.
#
# Rule 1: who calls gets the reply's properties, or an exception that says who is at fault: the command
# (CommandError), the way there (UnreachableError), the time (NoReplyError). Rule 2: a client that waits
# without limit is told when the connection breaks.

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

import zmq

from bigtop.control import addresses, protocol
from bigtop.control.addresses import UnreachableError
from bigtop.control.client import connection
from bigtop.control.client.connection import Identity, Way
from bigtop.control.client.ssh_tunnel import Tunnel
from bigtop.control.protocol import Errno, RefusedError
from bigtop.errors import BigtopError
from bigtop.record import Record

__all__ = [
    "Client",
    "Event",
    "Events",
    "Identity",
    "NoReplyError",
    "RefusedError",
    "Tunnel",
    "UnreachableError",
]

Properties = dict[str, Any]

# Milliseconds that the last cast has to leave.
LINGER = 1000

# Seconds in which somebody has to be there, also for who waits for a reply without limit.
REACHED_WITHIN = 5.0

_LOST = "the connection broke before the reply came; whether the command was carried out is not known"


class NoReplyError(BigtopError):
    """The reply did not come in time; the command may still be carried out. EX_TEMPFAIL of sysexits(3)."""

    exit_status = 75


class Event(Record):
    """`watcher` is the name in small letters, with _ for spaces and dots; "" for the supervisor's own."""

    topic: str
    watcher: str
    name: str
    payload: Properties


def opened(frame: bytes, call_id: str) -> Properties | None:
    """Return the reply's properties, None if it is a reply to another call. RefusedError: it says no."""
    reply = json.loads(frame)
    if reply.pop("id", None) != call_id:
        return None
    if reply.get("status") == "error":
        errno = reply.get("errno", 0)
        known = errno in Errno.__members__.values()
        raise RefusedError(str(reply.get("reason")), Errno(errno) if known else Errno.UNSPECIFIED)
    return dict(reply)


def event(frames: list[bytes]) -> Event:
    topic = frames[0].decode()
    first, _, rest = topic.partition(".")
    watcher, _, name = rest.rpartition(".") if first != "arbiter" else ("", "", rest)
    return Event(topic, watcher, name, json.loads(frames[1]))


class Client:
    """One connection, for one thread.

    `endpoint` is an endpoint, a path, the name of a running supervisor, or None for the only one there is;
    `timeout` the seconds a call may take, None for as long as the connection stands.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        timeout: float | None = 5.0,
        identity: Identity | None = None,
        tunnel: Tunnel | None = None,
    ) -> None:
        self.timeout = timeout
        self.way = Way(addresses.resolve(endpoint), identity, tunnel)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            self._socket = connection.dealer(self._context, self.way)
        except BigtopError:
            self._context.term()
            raise
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.disable_monitor()
        self._context.destroy(linger=LINGER)

    def call(self, command: str, **properties: object) -> Properties:
        """Send a command and return the properties of its reply.

        Raises RefusedError, UnreachableError, NoReplyError.
        """
        call_id = os.urandom(16).hex()
        end = None if self.timeout is None else time.monotonic() + self.timeout
        while self._monitor.poll(0):  # breaks that concerned nobody
            self._monitor.recv_multipart()
        self._send(protocol.call(command, properties, call_id))
        while True:
            reply = opened(self._receive(end), call_id)
            if reply is not None:
                return reply

    def cast(self, command: str, **properties: object) -> None:
        """Send a command that is not replied to."""
        self._send(protocol.call(command, properties, None))

    def events(self, *topics: str, timeout: float | None = None) -> Events:
        """Subscribe to all events, or to those whose topics begin with one of `topics`; iterate over it.

        The iteration ends after `timeout` seconds without an event.
        """
        published = self.call("globaloptions", option="pubsub_endpoint")["options"]["pubsub_endpoint"]
        return Events(connection.way_to_events(self.way, published), topics, timeout)

    def _send(self, frame: bytes) -> None:
        limit = REACHED_WITHIN if self.timeout is None else self.timeout
        self._socket.setsockopt(zmq.SNDTIMEO, _milliseconds(limit))
        try:
            self._socket.send(frame)
        except zmq.Again:
            raise UnreachableError(nobody(self.way)) from None

    def _receive(self, end: float | None) -> bytes:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._monitor, zmq.POLLIN)
        left = None if end is None else max(0.0, end - time.monotonic())
        ready = dict(poller.poll(_milliseconds(left)))
        # The supervisor that was told to quit replies and hangs up: both may be here before either is seen.
        if self._socket in ready or (ready and self._socket.poll(LINGER // 10)):
            return self._socket.recv()
        if ready:
            raise UnreachableError(_LOST)
        raise NoReplyError(no_reply(self.timeout))


class Events:
    """A subscription, as an iterator over Event and a context manager; for one thread."""

    def __init__(self, way: Way, topics: tuple[str, ...], timeout: float | None) -> None:
        self._timeout = _milliseconds(timeout)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            self.socket = connection.subscriber(self._context, way, topics)
        except BigtopError:
            self._context.term()
            raise

    def __enter__(self) -> Events:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Events:
        return self

    def __next__(self) -> Event:
        if not self.socket.poll(self._timeout):
            raise StopIteration
        return event(self.socket.recv_multipart())

    def close(self) -> None:
        self._context.destroy(linger=0)


def merged(streams: Sequence[Events]) -> Iterator[tuple[int, Event]]:
    """Iterate over the events of several subscriptions as they come, each with the number of its stream."""
    poller = zmq.Poller()
    numbers = {stream.socket: number for number, stream in enumerate(streams)}
    for socket in numbers:
        poller.register(socket, zmq.POLLIN)
    while True:
        for socket, _ in poller.poll():
            yield numbers[socket], event(socket.recv_multipart())


def _milliseconds(seconds: float | None) -> int:
    return -1 if seconds is None else int(seconds * 1000)


def nobody(way: Way) -> str:
    return f"{way.endpoint}: nobody answers" + (", or the key is not accepted" if way.identity else "")


def no_reply(timeout: float | None) -> str:
    return f"no reply within {timeout:g} s"
