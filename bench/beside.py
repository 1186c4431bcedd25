# Connections beside the measured ones: clients that trickle, requests that hold workers up.
#
# Rules: their answers are read and thrown away, their time is nobody's figure. All of them live in one thread
# that mostly sleeps, and are gone when the block ends. A connection that the server ends is made again, so
# that a server that drops slow clients is not measured without any.

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from bench.scenarios import Beside
from bench.server import connect

PING, EMPTY_PONG = 0x89, b"\x8a\x80\0\0\0\0"  # of an idle WebSocket
TRICKLE_SECONDS = 1.0  # between two bytes
STEP = 0.05  # seconds in which an end, or an answer, is noticed at the latest


@contextlib.contextmanager
def beside(what: Beside | None, port: int, cores: set[int], *, tls: bool = False) -> Iterator[None]:
    """Keep the connections of `what` at work while the block runs."""
    if what is None:
        yield
        return
    ended = threading.Event()
    crowd = _Crowd(what, port, tls=tls)
    thread = threading.Thread(target=crowd.run, args=(ended, cores), daemon=True)
    thread.start()
    crowd.there.wait(timeout=10)
    try:
        yield
    finally:
        ended.set()
        thread.join()


@dataclass(slots=True)
class _Client:
    connection: socket.socket
    sent: int = 0


class _Crowd:
    def __init__(self, what: Beside, port: int, *, tls: bool) -> None:
        self._what = what
        self._port = port
        self._tls = tls
        self._bytes = what.request.encode()
        self._selector = selectors.DefaultSelector()
        self._unanswered: set[int] = set()
        self.there = threading.Event()

    def run(self, ended: threading.Event, cores: set[int]) -> None:
        os.sched_setaffinity(0, cores)  # of this thread alone
        clients = [self._arrive() for _ in range(self._what.connections)]
        due = time.monotonic()
        while not ended.is_set():
            if not (self._what.stays and self._unanswered):
                self.there.set()
            for key, _ in self._selector.select(STEP):
                self._heard(key.data)
            if self._what.trickle and time.monotonic() >= due:
                due += TRICKLE_SECONDS
                for client in clients:
                    self._trickle(client)
        for client in clients:
            client.connection.close()
        self._selector.close()

    def _arrive(self) -> _Client:
        client = _Client(self._connect())
        self._unanswered.add(id(client))
        self._begin(client)
        return client

    def _connect(self) -> socket.socket:
        connection = connect(self._port, tls=self._tls)
        connection.setblocking(False)
        return connection

    def _begin(self, client: _Client) -> None:
        client.sent = 1 if self._what.trickle else len(self._bytes)
        with contextlib.suppress(OSError):  # noticed as an end of the connection
            client.connection.send(self._bytes[: client.sent])
        self._selector.register(client.connection, selectors.EVENT_READ, client)

    def _trickle(self, client: _Client) -> None:
        with contextlib.suppress(OSError):
            client.connection.send(self._bytes[client.sent : client.sent + 1])
            client.sent += 1

    def _heard(self, client: _Client) -> None:
        """Throw an answer away; begin again when the server closed."""
        with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
            try:
                data = client.connection.recv(65536)
            except ssl.SSLWantReadError:
                return  # a ticket, for example
            if data:
                self._unanswered.discard(id(client))
                if data[0] == PING:
                    client.connection.send(EMPTY_PONG)
                return
        self._selector.unregister(client.connection)
        client.connection.close()
        client.connection = self._connect()
        self._begin(client)
