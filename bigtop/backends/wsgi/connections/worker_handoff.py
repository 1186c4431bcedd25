# Hand-off between the workers of one application, in the native WSGI server: which connections leave this one
# for another, and which come from there.
#
# Rule 1: leader only. Rule 2: a connection leaves between two requests, before anything of the next is read;
# one that arrived in part, that waits for its answer or whose state nobody else can have (TLS) stays.
# Rule 3: it is taken out of epoll before it is closed here. Closing a descriptor does not do that while a
# copy of it is open elsewhere, and the events of a stranger would have no end.
#
# Four reasons to leave: no application slot is free here (into the common queue, for whoever is idle first);
# another thread of this process is inside the application and a sibling is idle (to that one: two threads
# share one interpreter lock); there are more connections here than elsewhere (new ones, to the emptiest);
# this worker drains (all idle ones, to the emptiest).
#
# Requests of HTTP/2 come by the same queues, each with a pair of sockets (http2/delegation).
#
# EPOLLEXCLUSIVE spends a wake-up on one worker. If that one is killed before it took the connection, nobody
# else is told of it, so everybody looks into the common queue once a second.

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

from bigtop.backends.base import Life
from bigtop.backends.native.timeouts import NEVER
from bigtop.backends.native.transport.bare_socket import AnySocket
from bigtop.backends.wsgi.connections.app_handoff import AppHandoff
from bigtop.backends.wsgi.connections.connection import READING, Connection
from bigtop.backends.wsgi.connections.connections import Connections
from bigtop.ipc.handoff import FULL, LOOK, MOST


class WorkerHandoff:
    """The hand-off of one worker; where there is none, everything stays."""

    def __init__(self, life: Life, connections: Connections, epoll: select.epoll, now: int) -> None:
        self._handoff = life.handoff
        self._life = life
        self._connections = connections
        self._epoll = epoll
        self.app_handoff = AppHandoff(life, connections, epoll, now)
        self._parked: deque[Connection] = deque()  # readable, out of epoll: the common queue was full
        self._retry_at = NEVER
        self._look_at = NEVER
        self.is_open = False
        self._has_inbox = False
        self.due = NEVER  # when tend() is to be called
        if life.handoff is not None:
            self._look_at = now + LOOK
            self._retry(NEVER)

    def has_heir(self) -> bool:
        """Whether somebody else can take what this worker, when it drains, does not finish."""
        return self._handoff is not None and self._handoff.has_heir()

    # ---- leaving

    def relieve(self, connection: Connection, full: bool, now: int) -> bool:
        """Let a connection with a new request go, if others can answer it sooner; True when it is gone."""
        handoff = self._handoff
        if handoff is None or not connection.is_movable:
            return False
        if not full:
            seat = handoff.idle()
            return seat is not None and self._send(connection, seat)
        if not handoff.has_company() or self.app_handoff.is_foreign(connection):
            return False
        if not self._send(connection, None):
            self._connections.timeouts.stop(connection)
            self._connections.watch(connection, 0)
            self._parked.append(connection)
            self._retry(now + FULL)
        return True

    def spread(self, newcomer: AnySocket) -> bool:
        """Send a new client to a worker that has fewer; True when it is gone."""
        handoff, mine = self._handoff, len(self._connections.table)
        return handoff is not None and mine > 1 and handoff.spread(newcomer, mine)

    def share(self) -> None:
        """Let idle connections go to workers that have fewer, until there are about as many here as there."""
        handoff, table = self._handoff, self._connections.table
        if handoff is None:
            return
        for connection in list(table.values()):
            if connection.stage is READING and connection.is_movable:
                seat = handoff.emptiest(below=len(table) - 1)
                if seat is None or not self._send(connection, seat):
                    return

    def leave(self, connection: Connection, now: int) -> bool:
        """Let an idle connection of a draining worker go; True when it is gone."""
        handoff = self._handoff
        if handoff is None or not connection.is_movable or not handoff.has_heir():
            return False
        if self._send(connection, handoff.emptiest(below=NEVER)):
            return True
        self._retry(now + FULL)
        return False

    def leave_all(self, now: int) -> None:
        """Let all idle connections of a draining worker go; tend() tries again with what is left."""
        for connection in list(self._connections.table.values()):
            if connection.stage is READING and connection.is_movable and not self.leave(connection, now):
                return

    def _send(self, connection: Connection, seat: int | None) -> bool:
        assert self._handoff is not None
        client = connection.transport
        sent = self._handoff.give(client) if seat is None else self._handoff.send(seat, client)
        if sent:
            self._connections.close(connection)
        return sent

    # ---- arriving

    def set(self, wide: bool, inbox: bool) -> None:
        """Take from the common queue (True) or leave it to others; listen to the inbox or not. Often called
        when nothing changed."""
        handoff = self._handoff
        if handoff is None:
            return
        if wide and self._parked:
            self._unpark()
        if wide is not self.is_open:
            self.is_open = wide
            self._watch(handoff.queue, wide, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        if inbox is not self._has_inbox and handoff.inbox is not None:
            self._has_inbox = inbox
            self._watch(handoff.inbox, inbox, select.EPOLLIN)

    def _watch(self, fd: int, wanted: bool, interest: int) -> None:
        assert self._handoff is not None
        if fd in self._handoff.ended:
            return  # arrival() takes it out of epoll, for good
        if wanted:
            self._epoll.register(fd, interest)
        else:
            self._epoll.unregister(fd)

    def __contains__(self, fd: int) -> bool:
        return self._handoff is not None and fd in (self._handoff.queue, self._handoff.inbox)

    def arrival(self, fd: int) -> Iterator[socket.socket]:
        """Take one connection, not more: a wake-up means that one worker is idle."""
        assert self._handoff is not None
        client = self._handoff.take() if fd == self._handoff.queue else self._handoff.take_own()
        if client is not None:
            yield client
        elif fd in self._handoff.ended:
            with suppress(FileNotFoundError):  # a word of before it was taken out
                self._epoll.unregister(fd)

    def rest(self) -> Iterator[socket.socket]:
        """Take what nobody else might: before this worker leaves."""
        handoff = self._handoff
        if handoff is None:
            return
        for _ in range(MOST):
            if (client := handoff.take_own()) is None:
                break
            yield client
        for _ in range(MOST):
            if handoff.has_heir() or (client := handoff.take()) is None:
                break
            yield client
        yield from handoff.stranded()

    # ---- time

    def tend(self, now: int) -> Iterator[socket.socket]:
        """Do what is due; what arrives by the way is yielded."""
        handoff = self._handoff
        assert handoff is not None
        if now >= self._retry_at:
            self._retry_at = NEVER
            if self._life.draining:
                self.leave_all(now)
            self._give_parked(now)
        if now >= self._look_at:
            self._look_at = now + LOOK
            if self.is_open:
                if (client := handoff.take()) is not None:
                    yield client
                yield from handoff.stranded()
        self._retry(NEVER)

    def _retry(self, at: int) -> None:
        self._retry_at = min(at, self._retry_at)
        self.due = min(self._retry_at, self._look_at)
        self._connections.timeouts.wake(self.due)

    def _give_parked(self, now: int) -> None:
        while self._parked:
            first = self._parked[0]
            if first.stage is READING and not self._send(first, None):
                self._retry(now + FULL)
                return
            self._parked.popleft()

    def _unpark(self) -> None:
        """A slot is free again: answer here what nobody else took."""
        while self._parked:
            first = self._parked.popleft()
            if first.stage is READING:
                self._connections.watch(first, select.EPOLLIN)
