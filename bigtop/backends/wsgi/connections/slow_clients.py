# Slow clients of HTTP/1.1: what they have not taken of their answers is sent when they do, or never.
#
# Rule: leader only.

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Final

from bigtop.backends.native.transport.write_buffer import ClientGone
from bigtop.backends.wsgi.call import Call
from bigtop.backends.wsgi.connections.connection import Connection
from bigtop.backends.wsgi.connections.connections import Connections
from bigtop.backends.wsgi.metrics import WsgiMetrics
from bigtop.system.clock import monotonic_ns

EPOLLIN: Final[int] = select.EPOLLIN  # see clock.py
EPOLLOUT: Final[int] = select.EPOLLOUT


class SlowClients:
    """Those of a worker. `answered` is told of calls that are over when all of the answer is out, or never
    will be."""

    def __init__(
        self, connections: Connections, metrics: WsgiMetrics, answered: Callable[[Call, int], None]
    ) -> None:
        self._connections = connections
        self._timeouts = connections.timeouts
        self._metrics = metrics
        self._answered = answered

    def wait_for(self, connection: Connection, call: Call, left: int, now: int) -> None:
        """The client has `left` bytes of an answer untaken."""
        self._metrics.held_up(call, left)
        self.wait_for_room(connection, now)

    def wait_for_room(self, connection: Connection, now: int) -> None:
        """Have send_rest() called when more can be sent, or may be."""
        write_buffer = connection.stream.write_buffer
        if write_buffer is not None and write_buffer.is_ahead:
            self._timeouts.start(connection, self._timeouts.pace, now)
            self._connections.watch(connection, 0)
            return
        self._timeouts.start(connection, self._timeouts.send, now)
        self._connections.watch(connection, EPOLLOUT)

    def send_rest(self, connection: Connection, now: int) -> None:
        call, write_buffer = connection.call, connection.stream.write_buffer
        assert call is not None
        assert write_buffer is not None
        try:
            empty = write_buffer.flush()
        except ClientGone:
            self.lose(connection)
            return
        if not empty:
            if write_buffer.is_too_slow(self._timeouts.send, now):
                self.lose(connection)
            else:
                self.wait_for(connection, call, write_buffer.size, now)
            return
        self._timeouts.stop(connection)
        self._connections.watch(connection, EPOLLIN)
        if call.settled:
            self._answered(call, now)

    def lose(self, connection: Connection) -> None:
        """The client of an answer is gone, or too slow."""
        call, write_buffer = connection.call, connection.stream.write_buffer
        assert call is not None
        assert write_buffer is not None
        write_buffer.abandon()
        self._timeouts.stop(connection)
        self._connections.watch(connection, 0)
        if call.settled:
            self._answered(call, monotonic_ns())
