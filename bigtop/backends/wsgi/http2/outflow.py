# Outflow of a connection of HTTP/2: what waits in the write buffers of its streams goes out as the windows of
# the client and its socket let it.
#
# Rule: leader only. Streams take turns, so that none keeps the others waiting, and a turn of all has a bound.

from __future__ import annotations

from collections.abc import Callable

from bigtop.backends.native.timeouts import Wait
from bigtop.backends.native.transport.write_buffer import BUDGET, ClientGone
from bigtop.backends.wsgi.http2.connection import MultiplexedConnection
from bigtop.backends.wsgi.http2.stream import Http2Stream
from bigtop.backends.wsgi.metrics import WsgiMetrics


class Outflow:
    """That of all of them. `empty` is told of streams of which all is out, `lose` of those whose client has
    left or is slower than `pace`."""

    def __init__(
        self,
        pace: Wait,
        metrics: WsgiMetrics,
        empty: Callable[[Http2Stream, int], None],
        lose: Callable[[Http2Stream], None],
    ) -> None:
        self._pace = pace
        self._metrics = metrics
        self._empty = empty
        self._lose = lose

    def wait_for(self, connection: MultiplexedConnection, stream: Http2Stream, now: int) -> None:
        """Something of an answer waits for the client from now on, if it did not before."""
        if stream.number not in connection.waiting:
            connection.progress.moved_at[stream.number] = now
            connection.waiting[stream.number] = stream

    def pump(self, connection: MultiplexedConnection, now: int) -> bool:
        """Fill the windows and send; return whether nothing is left that could go out but for the socket, or
        for the length of this turn."""
        link = connection.link
        if not connection.waiting:
            return link.flush()
        until = link.sent + BUDGET
        if not link.flush():  # first: behind frames that wait for the socket, streams have no room
            return False
        while True:
            moved = False
            for stream in list(connection.waiting.values()):
                moved |= self._send_rest(connection, stream, now)
                if link.sent >= until:
                    return False
            if not link.flush():
                return False
            if not moved:
                return True

    def lose_late(self, connection: MultiplexedConnection, now: int) -> None:
        """Give up the streams of which the client took nothing for too long."""
        length, moved_at = self._pace.length, connection.progress.moved_at
        for stream in list(connection.waiting.values()):
            if 0 < length <= now - moved_at[stream.number]:
                self._lose(stream)

    def _send_rest(self, connection: MultiplexedConnection, stream: Http2Stream, now: int) -> bool:
        """Return whether something could be sent."""
        call, write_buffer, number = stream.call, stream.write_buffer, stream.number
        if call is None or write_buffer is None:
            connection.waiting.pop(number, None)
            return False
        taken = write_buffer.taken
        try:
            is_empty = write_buffer.flush()
        except ClientGone:
            self._lose(stream)
            return False
        stream.signal.give()
        if stream.incoming is not None:
            stream.incoming.room()
        if is_empty:
            connection.waiting.pop(number, None)
            self._empty(stream, now)
            return True
        if write_buffer.taken == taken:  # its size does not tell: the call may have added to it meanwhile
            return False
        connection.waiting.pop(number, None)
        connection.waiting[number] = stream  # behind the others
        connection.progress.moved_at[number] = now
        self._metrics.held_up(call, write_buffer.size)
        if write_buffer.is_too_slow(self._pace, now):
            self._lose(stream)
        return True
