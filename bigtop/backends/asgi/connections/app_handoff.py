# Hand-off between applications on the same socket, in the native ASGI server: see native/app_handoff.py.

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import monotonic_ns

from bigtop.backends.asgi.connections.routed_connection import RoutedConnection
from bigtop.backends.base import Life
from bigtop.backends.native.app_handoff import Arrivals, Departures
from bigtop.backends.native.app_queues import MISDIRECTED, Arrival, ProxiedAddresses
from bigtop.backends.native.timeouts import NEVER, SECOND
from bigtop.errors import ProtocolError
from bigtop.http.paths.routes import Routes
from bigtop.ipc.handoff import FULL, LOOK


class AppHandoff:
    """The hand-off of one worker, whose queue stands in `accept_epoll`; where there is one application, there
    is nothing to do. `arrived` takes what comes, with the bytes that were read of it and what a balancer said
    of it."""

    def __init__(
        self,
        life: Life,
        loop: asyncio.AbstractEventLoop,
        accept_epoll: select.epoll,
        arrived: Callable[[socket.socket, bytes, ProxiedAddresses | None], None],
    ) -> None:
        queues = life.app_queues
        self._life = life
        self._queues = queues
        self._loop = loop
        self._arrived = arrived
        self._arrivals = None if queues is None else Arrivals(queues, life, accept_epoll)
        self._departures = (
            None if queues is None else Departures(queues, self._hand_over, _is_closed, _refuse)
        )
        self._is_retrying = False

    def open(self) -> None:
        """Look from now on, from time to time, for what might have been forgotten."""
        if self._arrivals is not None:
            self._loop.call_later(LOOK / SECOND, self._look)

    @property
    def routes(self) -> Routes | None:
        return None if self._queues is None else self._queues.routes

    # ---- leaving

    def leave(self, connection: RoutedConnection, owner: int, data: bytes) -> None:
        """Hand a connection over with what was read of it, now or as soon as may be."""
        assert self._departures is not None
        if not connection.transport.raw.is_movable:
            _refuse(connection, 421, MISDIRECTED)
        elif not self._departures.leave(connection, owner, data, monotonic_ns()):
            self._retry_in(FULL)

    def _hand_over(self, owner: int, connection: RoutedConnection, data: bytes) -> bool:
        assert self._queues is not None
        if not self._queues.send(owner, connection.transport.raw, data, connection.proxied):
            return False
        connection.cut()
        return True

    def _retry_in(self, wait: int) -> None:
        if not self._is_retrying:
            self._is_retrying = True
            self._loop.call_later(wait / SECOND, self._retry)

    def _retry(self) -> None:
        assert self._departures is not None
        self._is_retrying = False
        if (wait := self._departures.retry(monotonic_ns())) != NEVER:
            self._retry_in(wait)

    # ---- arriving

    def regulate(self) -> None:
        """Take what comes, unless this worker is to leave and there are others."""
        if self._arrivals is not None:
            self._arrivals.set(not self._life.draining or not self._has_heir())

    def shut(self) -> None:
        """Leave what comes to others for now."""
        if self._arrivals is not None:
            self._arrivals.set(False)

    def __contains__(self, fd: int) -> bool:
        return self._arrivals is not None and fd in self._arrivals

    def let_in(self) -> OSError | None:
        """Take one client, not more. What is returned is why none can be taken."""
        assert self._arrivals is not None
        try:
            arrival = self._arrivals.take()
        except OSError as error:
            return error
        if arrival is not None:
            self._arrived(*arrival)
        return None

    def rest(self) -> bool:
        """Take, before leaving, what nobody else might; True if there was something."""
        if self._arrivals is None or self._has_heir():
            return False
        return self._take_all(self._arrivals.rest())

    def _look(self) -> None:
        assert self._arrivals is not None
        self._take_all(self._arrivals.look())
        self._loop.call_later(LOOK / SECOND, self._look)

    def _take_all(self, arrivals: Iterator[Arrival]) -> bool:
        found = False
        with suppress(OSError):  # out of descriptors: what waits goes on waiting
            for arrival in arrivals:
                found = True
                self._arrived(*arrival)
        return found

    def _has_heir(self) -> bool:
        handoff = self._life.handoff
        return handoff is not None and handoff.has_heir()


def _is_closed(connection: RoutedConnection) -> bool:
    return connection.transport.gone


def _refuse(connection: RoutedConnection, status: int, text: str) -> None:
    connection.refuse(ProtocolError(status, text))
