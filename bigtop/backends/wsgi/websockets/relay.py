# Relay of a client that speaks TLS, for an application that speaks to its socket by itself.
#
# The application has one end of a pair of sockets; what the client sends is decrypted into the other one.
# What the application sends does not go there: its socket gives that to a conversation, and that to us.
#
# Rule 1: OpenSSL's objects have no locks, so whoever uses the transport has ours, for an operation that does
# not wait.
# Rule 2: nothing is read before the application has spoken. Until then it may answer as HTTP does, through
# the stream, which knows of no lock. A WebSocket begins with a word of the server.

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from bigtop.backends.native.app_queues import READ
from bigtop.backends.native.transport.transport import WRITABLE, Transport
from bigtop.backends.native.transport.write_buffer import Pause


class Task(Protocol):
    """What runs beside a call."""

    def join(self) -> object:
        """Wait until it has ended."""


class Relay:
    """The part of a transport that a conversation needs. `lock` is for its operations, `wait` waits for ever,
    `start` runs something beside the call."""

    def __init__(
        self, transport: Transport, lock: Any, wait: Pause, start: Callable[[Callable[[], None]], Task]
    ) -> None:
        self._transport = transport
        self._lock = lock
        self._wait = wait
        self._start = start
        self._task: Task | None = None
        self._has_ended = False  # we have said all; what comes now is of no interest
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)

    @property
    def write_event(self) -> int:
        return self._transport.write_event

    def fileno(self) -> int:
        return self._transport.fileno()

    def lend(self) -> int:
        """Return the descriptor that the application reads from."""
        return self._theirs.detach()

    def send_beside(self, data: bytes | memoryview) -> int:
        if self._task is None:
            self._task = self._start(self._run)
        with self._lock:
            return self._transport.send(data)

    def shutdown(self, how: int) -> None:
        if how == socket.SHUT_RD:
            # For the application; to OpenSSL it would be an end that was not announced, behind which it sends
            # nothing more.
            self._ours.shutdown(socket.SHUT_WR)
            return
        with self._lock:
            self._has_ended = True
            self._transport.shutdown(how)

    def take_back(self) -> None:
        """End it: nothing of what the client sends is of interest any more."""
        if self._task is not None:
            with suppress(OSError):
                self.shutdown(socket.SHUT_RDWR)
            with suppress(OSError):
                self._ours.shutdown(socket.SHUT_RDWR)
            self._task.join()
        self._ours.close()

    # ---- beside the call

    def _run(self) -> None:
        with suppress(OSError):  # the application has closed its end
            while data := self._next():
                rest = memoryview(data)
                while rest:
                    try:
                        rest = rest[self._ours.send(rest) :]
                    except BlockingIOError:
                        self._wait(self._ours.fileno(), WRITABLE)
            self._ours.shutdown(socket.SHUT_WR)

    def _next(self) -> bytes:
        """Return what the client sent next, b"" at its end."""
        while True:
            with self._lock:
                if self._has_ended:
                    return b""
                try:
                    return self._transport.recv(READ)
                except BlockingIOError:
                    event = self._transport.read_event
                except OSError:  # it broke off
                    return b""
            self._wait(self._transport.fileno(), event)
