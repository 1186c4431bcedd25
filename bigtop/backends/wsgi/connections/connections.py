# The connections of a worker in its epoll set, and how they end.
#
# Rule: leader only.
#
# A connection that is closed while unread bytes of the client lie in the kernel is reset, and the reset can
# destroy the answer before the client has read it (RFC 9112, 9.6). So whoever may still be sending is told
# first (shutdown), and listened to until it has understood, for a bounded time.

from __future__ import annotations

import select
from contextlib import suppress
from socket import SHUT_WR
from time import monotonic_ns
from typing import Any, Final, Protocol

from bigtop.backends.native.metrics import Metrics
from bigtop.backends.native.timeouts import Timeouts, Wait
from bigtop.backends.wsgi.connections.connection import LINGERING, RECEIVE, Connection
from bigtop.backends.wsgi.stream import Stream
from bigtop.errors import ProtocolError
from bigtop.http.handlers import ConnectionHandler, Reply
from bigtop.http.messages import Request
from bigtop.http.response import refusal
from bigtop.ipc.scoreboard import RequestPhase

# Plain numbers: see clock.py.
EPOLLIN: Final[int] = select.EPOLLIN
EPOLLOUT: Final[int] = select.EPOLLOUT
READING: Final = RequestPhase.READING


class PassingOn(Protocol):
    """Requests that other servers answer, and the connections to those."""

    def takes(self, connection: Connection, request: Request, reply: Reply | None, now: int) -> bool:
        """Take a request of which `reply` says that it is another server's; False for all others."""

    def takes_stream(self, stream: Any, request: Request, reply: Reply | None, now: int) -> bool:
        """The same on a stream of HTTP/2, an http2.stream.Http2Stream."""

    def on_upstream(self, fd: int, now: int) -> bool:
        """Something may be done with a descriptor; False when it leads to none of those servers."""

    def expire(self, now: int) -> None:
        """Do what time has come for."""

    def part(self, now: int) -> None:
        """The worker drains: end what has no end of its own."""


class Connections:
    """All open connections, by descriptor. `handler` decides who may have one; None: everybody."""

    __slots__ = ("_epoll", "_handler", "_lent", "_metrics", "passing_on", "table", "timeouts")

    def __init__(
        self,
        epoll: select.epoll,
        timeouts: Timeouts[Connection],
        metrics: Metrics,
        handler: ConnectionHandler | None,
    ) -> None:
        self._epoll = epoll
        self.timeouts = timeouts
        self._metrics = metrics
        self._handler = handler
        self.table: dict[int, Connection] = {}
        self._lent: set[int] = set()  # of these, those that lead to other workers: no clients
        self.passing_on: PassingOn | None = None  # None: the application answers all requests

    def of(self, stream: Stream) -> Connection | None:
        """Return the connection that a stream belongs to, None if that is closed."""
        connection = self.table.get(stream.fd)
        return connection if connection is not None and connection.stream is stream else None

    def add(self, connection: Connection) -> ProtocolError | None:
        """Take a connection in, which is not watched yet; return why it has to be refused, None if it has
        not."""
        self.table[connection.fd] = connection
        self._metrics.connected(len(self.table) - len(self._lent))
        return self._handler.opened(connection.visitor) if self._handler is not None else None

    def lend(self, connection: Connection) -> None:
        """Take in one that leads to another worker, for which a call is run."""
        self.table[connection.fd] = connection
        self._lent.add(connection.fd)

    def watch(self, connection: Connection, interest: int) -> None:
        """Have it reported that there is something to read (EPOLLIN), or that more can be sent (EPOLLOUT), or
        both; nothing for 0 (epoll reports errors of whatever is in its set)."""
        if interest:
            transport = connection.transport
            if interest == EPOLLIN:
                interest = transport.read_event
            elif interest == EPOLLOUT:
                interest = transport.write_event
            else:
                interest = transport.read_event | transport.write_event
        if interest == connection.interest:
            return
        if not connection.interest:
            self._epoll.register(connection.fd, interest)
        elif not interest:
            self._epoll.unregister(connection.fd)
        else:
            self._epoll.modify(connection.fd, interest)
        connection.interest = interest

    def open(self, connection: Connection, now: int) -> None:
        """Wait for a handshake, which comes before the first request."""
        self.timeouts.start(connection, self.timeouts.handshake, now)
        self.watch(connection, EPOLLIN)

    def is_opening(self, connection: Connection) -> bool:
        """Whether nothing of a request could be read because its transport has to do something else first:
        what it waits for may be another event now."""
        opening = connection.transport.opening
        waits = connection.wait is self.timeouts.idle if opening is None else opening.owner < 0
        if waits:
            self.watch(connection, EPOLLIN)
        return waits

    def arrives(self, connection: Connection, wait: Wait, now: int) -> None:
        """Not all of a request is here: the rest has as long as `wait` says."""
        self.timeouts.start(connection, wait, now)
        connection.show(READING, now)

    def part(self, connection: Connection) -> None:
        """Close, but let the client read what it was sent."""
        connection.stage = LINGERING
        connection.hide()
        try:
            connection.transport.shutdown(SHUT_WR)
        except OSError:  # not connected any more
            self.close(connection)
            return
        self.timeouts.start(connection, self.timeouts.linger, monotonic_ns())
        self.watch(connection, EPOLLIN)

    def refuse(self, connection: Connection, error: ProtocolError, began: int = 0) -> None:
        """Answer with an error of the server's own, and part; what is refused `began` to come then, 0 if that
        is not known."""
        answer = refusal(error, connection.context.stamps.now())
        if self._metrics.access_log is not None:
            request, since = connection.unanswered()
            began = since or began or self.timeouts.head.began(connection)
            self._metrics.refused(request, error.status, answer, connection.stream.peer, began)
        # A few hundred bytes for a socket where nothing waits: they fit, or the client reads nothing anyway.
        with suppress(OSError):
            connection.transport.send(answer)
        self.part(connection)

    def drop_input(self, connection: Connection) -> None:
        """Read on after part(). The time for it is not prolonged: the client was told."""
        try:
            ended = not connection.transport.recv(RECEIVE)
        except BlockingIOError:
            ended = False
        except OSError:
            ended = True
        if ended:
            self.close(connection)
        else:
            self.watch(connection, EPOLLIN)

    # ---- other servers

    def takes_elsewhere(
        self, connection: Connection, request: Request, reply: Reply | None, now: int
    ) -> bool:
        """Whether a request is another server's, which is asked then."""
        passing_on = self.passing_on
        return passing_on is not None and passing_on.takes(connection, request, reply, now)

    def is_elsewhere(self, fd: int, now: int) -> bool:
        """Whether a descriptor leads to another server; what can be done there is done."""
        return self.passing_on is not None and self.passing_on.on_upstream(fd, now)

    def expire(self, now: int) -> None:
        """Do what time has come for."""
        if self.passing_on is not None:
            self.passing_on.expire(now)

    def part_elsewhere(self, now: int) -> None:
        """The worker drains."""
        if self.passing_on is not None:
            self.passing_on.part(now)

    # ---- the end

    def abort(self, connection: Connection, reset: bool) -> None:
        """Close in the middle of an answer; `reset` where a mere end would look like the answer's own."""
        if reset:
            connection.transport.reset()
        self.close(connection)

    def close(self, connection: Connection) -> None:
        self.watch(connection, 0)
        self.timeouts.stop(connection)
        connection.hide()
        del self.table[connection.fd]
        if connection.fd in self._lent:
            self._lent.remove(connection.fd)
        elif self._handler is not None:
            self._handler.closed(connection.visitor)
        connection.close()
        self._metrics.disconnected(len(self.table) - len(self._lent))
