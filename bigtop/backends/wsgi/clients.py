# The connections of a worker in its epoll set, and how they end.
#
# Rule: leader only.
#
# A connection that is closed while unread bytes of the client lie in the kernel is reset, and the reset can
# destroy the answer before the client has read it (RFC 9112, 9.6). So whoever may still be sending is told
# first (shutdown), and listened to until it has understood, for a bounded time.

from __future__ import annotations

import select
import socket
import struct
from contextlib import suppress
from time import monotonic_ns

from bigtop.backends.deadlines import Deadlines
from bigtop.backends.outbox import ClientGone
from bigtop.backends.wsgi.connection import LINGERING, Connection
from bigtop.backends.wsgi.ledger import Ledger
from bigtop.backends.wsgi.visitors import Visitors


class Clients:
    """All open connections, by descriptor."""

    __slots__ = ("_epoll", "_ledger", "_visitors", "deadlines", "table")

    def __init__(
        self, epoll: select.epoll, deadlines: Deadlines[Connection], ledger: Ledger, visitors: Visitors
    ) -> None:
        self._epoll = epoll
        self.deadlines = deadlines
        self._ledger = ledger
        self._visitors = visitors
        self.table: dict[int, Connection] = {}

    def add(self, connection: Connection) -> bool:
        """Take a connection in; False when its address has too many already."""
        self.table[connection.fd] = connection
        self._ledger.connected(len(self.table))
        self.watch(connection, select.EPOLLIN)
        return self._visitors.came(connection.visitor)

    def watch(self, connection: Connection, interest: int) -> None:
        """Have `interest` reported; nothing for 0 (epoll reports errors of whatever is in its set)."""
        if interest == connection.interest:
            return
        if not connection.interest:
            self._epoll.register(connection.fd, interest)
        elif not interest:
            self._epoll.unregister(connection.fd)
        else:
            self._epoll.modify(connection.fd, interest)
        connection.interest = interest

    def part(self, connection: Connection) -> None:
        """Close, but let the client read what it was sent."""
        connection.stage = LINGERING
        try:
            connection.socket.shutdown(socket.SHUT_WR)
        except OSError:  # not connected any more
            self.close(connection)
            return
        self.deadlines.start(connection, self.deadlines.linger, monotonic_ns())
        self.watch(connection, select.EPOLLIN)

    def refuse(self, connection: Connection, answer: bytes) -> None:
        """Answer with an error of the server's own, and part."""
        # A few hundred bytes for a socket where nothing waits: they fit, or the client reads nothing anyway.
        with suppress(OSError):
            connection.socket.send(answer)
        self.part(connection)

    def drop_input(self, connection: Connection) -> None:
        """Read on after part(). The time for it is not prolonged: the client was told."""
        try:
            connection.drop_input()
        except ClientGone:
            self.close(connection)

    def abort(self, connection: Connection, reset: bool) -> None:
        """Close in the middle of an answer; `reset` where a mere end would look like the answer's own."""
        if reset:
            # SO_LINGER with no time makes close(2) send a reset.
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close(connection)

    def close(self, connection: Connection) -> None:
        self.watch(connection, 0)
        self.deadlines.stop(connection)
        del self.table[connection.fd]
        self._visitors.left(connection.visitor)
        connection.close()
        self._ledger.disconnected(len(self.table))
