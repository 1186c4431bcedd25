# Requests for other applications on the same socket: handed over, and those that come from there.
#
# Rule 1: leader only. Rule 2: a connection leaves when all before the foreign request is answered, and out of
# epoll first, as in relay.py. What cannot be handed over now is parked, and tried again: the queue is full,
# or nobody serves that application, which is told to the client when it has lasted.
# Rule 3: it takes no application slot to hand a request over, so a busy worker does that too.

from __future__ import annotations

import select
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from bigtop.backends.base import Life
from bigtop.backends.deadlines import NEVER
from bigtop.backends.outbox import ClientGone
from bigtop.backends.transfer import DOWN, PATIENCE, UNSERVED, Arrival
from bigtop.backends.wsgi.clients import Clients
from bigtop.backends.wsgi.connection import CLOSED, Connection
from bigtop.handoff import FULL, LOOK
from bigtop.http.response import error_response
from bigtop.http.routes import RoutedEngine


class _Parked(NamedTuple):
    connection: Connection
    data: bytes
    until: int


class Router:
    """The transfer of one worker; where there is one application, there is nothing to do."""

    def __init__(self, life: Life, clients: Clients, epoll: select.epoll, now: int) -> None:
        self._transfer = life.transfer
        self._clients = clients
        self._epoll = epoll
        self._parked: dict[int, deque[_Parked]] = {}  # by application
        self._retry_at = NEVER
        self._look_at = NEVER if life.transfer is None else now + LOOK
        self.is_open = False
        self.due = self._look_at  # when tend() is to be called

    # ---- leaving

    def is_foreign(self, connection: Connection) -> bool:
        """Whether an idle connection that is readable has a request for another application."""
        engine = connection.engine
        if self._transfer is None or not isinstance(engine, RoutedEngine):
            return False
        try:
            return engine.is_foreign(connection.peek())
        except ClientGone:  # the next read finds out
            return False

    def leave(self, connection: Connection, now: int) -> None:
        """Hand a connection over whose next request is another application's, now or as soon as may be."""
        engine = connection.engine
        assert isinstance(engine, RoutedEngine), "others stop before no request"
        self._clients.deadlines.stop(connection)
        parked = _Parked(connection, engine.take_rest(), now + PATIENCE)
        waiting = self._parked.setdefault(engine.owner, deque())
        if waiting or not self._send(engine.owner, parked):
            self._clients.watch(connection, 0)
            waiting.append(parked)
            self._retry(now + FULL)

    def _send(self, owner: int, parked: _Parked) -> bool:
        transfer, connection = self._transfer, parked.connection
        assert transfer is not None
        sent = transfer.is_served(owner) and transfer.send(
            owner, connection.socket, parked.data, connection.said
        )
        if sent:
            self._clients.close(connection)
        return sent

    def _send_parked(self, now: int) -> None:
        assert self._transfer is not None
        for owner, waiting in self._parked.items():
            is_served = self._transfer.is_served(owner)
            while waiting:
                first = waiting[0]
                if first.connection.stage is not CLOSED and not (is_served and self._send(owner, first)):
                    if is_served or now < first.until:
                        self._retry(now + (FULL if is_served else UNSERVED))
                        break
                    stamp = first.connection.site.stamps.now()
                    self._clients.refuse(first.connection, error_response(503, DOWN, stamp))
                waiting.popleft()

    # ---- arriving

    def set(self, wide: bool) -> None:
        """Take what comes (True) or leave it to others. Often called when nothing changed."""
        if self._transfer is not None and wide is not self.is_open:
            self.is_open = wide
            if wide:
                self._epoll.register(self._transfer.queue, select.EPOLLIN | select.EPOLLEXCLUSIVE)
            else:
                self._epoll.unregister(self._transfer.queue)

    def __contains__(self, fd: int) -> bool:
        return self._transfer is not None and fd == self._transfer.queue

    def arrival(self) -> Iterator[Arrival]:
        """Take one, not more: a wake-up means that one worker is idle."""
        assert self._transfer is not None
        if (arrival := self._transfer.take()) is not None:
            yield arrival

    def rest(self) -> Iterator[Arrival]:
        """Take what nobody else might: before the last worker leaves."""
        if self._transfer is not None:
            while (arrival := self._transfer.take()) is not None:
                yield arrival
            yield from self._transfer.stranded()

    # ---- time

    def tend(self, now: int) -> Iterator[Arrival]:
        """Do what is due; what arrives by the way is yielded."""
        assert self._transfer is not None
        if now >= self._retry_at:
            self._retry_at = NEVER
            self._send_parked(now)
        if now >= self._look_at:
            self._look_at = now + LOOK
            if self.is_open:  # whoever was woken up for one may have been killed, and so may be their workers
                yield from self.arrival()
                yield from self._transfer.stranded()
        self._retry(NEVER)

    def _retry(self, at: int) -> None:
        self._retry_at = min(at, self._retry_at)
        self.due = min(self._retry_at, self._look_at)
        self._clients.deadlines.wake(self.due)
