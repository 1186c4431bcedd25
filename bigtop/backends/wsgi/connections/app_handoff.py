# Hand-off between applications on the same socket, in the native WSGI server: see native/app_handoff.py.
#
# Rule 1: a connection leaves epoll before it leaves this worker, as in worker_handoff.py.
# Rule 2: it takes no application slot to hand a request over, so a busy worker does that too.

from __future__ import annotations

import select
from collections.abc import Iterator

from bigtop.backends.base import Life
from bigtop.backends.native.app_handoff import Arrivals, Departures
from bigtop.backends.native.app_queues import MISDIRECTED, READ, Arrival
from bigtop.backends.native.timeouts import NEVER
from bigtop.backends.wsgi.connections.connection import CLOSED, Connection
from bigtop.backends.wsgi.connections.connections import Connections
from bigtop.errors import ProtocolError
from bigtop.http.paths.routes import RoutedEngine
from bigtop.ipc.handoff import FULL, LOOK


class AppHandoff:
    """The hand-off of one worker; where there is one application, there is nothing to do."""

    def __init__(self, life: Life, connections: Connections, epoll: select.epoll, now: int) -> None:
        queues = life.app_queues
        self._queues = queues
        self._connections = connections
        self._arrivals = None if queues is None else Arrivals(queues, life, epoll)
        self._departures = (
            None if queues is None else Departures(queues, self._hand_over, _is_closed, self._refuse)
        )
        self._retry_at = NEVER
        self._look_at = NEVER if queues is None else now + LOOK
        self.due = self._look_at  # when tend() is to be called

    # ---- leaving

    def is_foreign(self, connection: Connection) -> bool:
        """Whether an idle connection that is readable has a request for another application."""
        engine = connection.engine
        if self._queues is None or not isinstance(engine, RoutedEngine):
            return False
        try:
            return engine.is_foreign(connection.transport.peek(READ))
        except OSError:  # the next read finds out
            return False

    def leave(self, connection: Connection, now: int) -> None:
        """Hand a connection over whose next request is another application's, now or as soon as may be."""
        engine = connection.engine
        assert isinstance(engine, RoutedEngine), "others stop before no request"
        assert self._departures is not None
        if not connection.transport.is_movable:
            self._refuse(connection, 421, MISDIRECTED)
            return
        self._connections.timeouts.stop(connection)
        if not self._departures.leave(connection, engine.owner, engine.take_rest(), now):
            self._connections.watch(connection, 0)
            self._retry(now + FULL)

    def _hand_over(self, owner: int, connection: Connection, data: bytes) -> bool:
        assert self._queues is not None
        if not self._queues.send(owner, connection.transport, data, connection.proxied):
            return False
        self._connections.close(connection)
        return True

    def _refuse(self, connection: Connection, status: int, text: str) -> None:
        self._connections.refuse(connection, ProtocolError(status, text))

    # ---- arriving

    def set(self, wide: bool) -> None:
        """Take what comes (True) or leave it to others. Often called when nothing changed."""
        if self._arrivals is not None:
            self._arrivals.set(wide)

    def __contains__(self, fd: int) -> bool:
        return self._arrivals is not None and fd in self._arrivals

    def arrival(self) -> Iterator[Arrival]:
        """Take one, not more."""
        if self._arrivals is not None and (arrival := self._arrivals.take()) is not None:
            yield arrival

    def rest(self) -> Iterator[Arrival]:
        """Take what nobody else might: before the last worker leaves."""
        if self._arrivals is not None:
            yield from self._arrivals.rest()

    # ---- time

    def tend(self, now: int) -> Iterator[Arrival]:
        """Do what is due; what arrives by the way is yielded."""
        assert self._departures is not None
        assert self._arrivals is not None
        if now >= self._retry_at:
            wait = self._departures.retry(now)
            self._retry_at = NEVER if wait == NEVER else now + wait
        if now >= self._look_at:
            self._look_at = now + LOOK
            yield from self._arrivals.look()
        self._retry(NEVER)

    def _retry(self, at: int) -> None:
        self._retry_at = min(at, self._retry_at)
        self.due = min(self._retry_at, self._look_at)
        self._connections.timeouts.wake(self.due)


def _is_closed(connection: Connection) -> bool:
    return connection.stage is CLOSED
