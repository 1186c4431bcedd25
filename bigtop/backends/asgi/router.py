# Requests for other applications on the same socket: handed over, and those that come from there.
#
# A connection leaves when all before the foreign request is answered. What cannot be handed over now is
# parked, and tried again: the queue is full, or nobody serves that application, which is told to the client
# when it has lasted.

from __future__ import annotations

import asyncio
import select
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic_ns
from typing import NamedTuple

from bigtop.backends.asgi.routed import RoutedConnection
from bigtop.backends.base import Life
from bigtop.backends.deadlines import SECOND
from bigtop.backends.transfer import DOWN, PATIENCE, UNSERVED, Transfer
from bigtop.errors import ProtocolError
from bigtop.handoff import FULL, LOOK
from bigtop.http.routes import Routes


class _Parked(NamedTuple):
    connection: RoutedConnection
    data: bytes
    until: int


class Router:
    """The transfer of one worker, whose queue stands in `door`; where there is one application, there is
    nothing to do. `arrived` takes what comes, with the bytes that were read of it."""

    def __init__(
        self,
        life: Life,
        loop: asyncio.AbstractEventLoop,
        door: select.epoll,
        arrived: Callable[[socket.socket, bytes], None],
    ) -> None:
        self._life = life
        self._transfer = life.transfer
        self._loop = loop
        self._door = door
        self._arrived = arrived
        self._parked: dict[int, deque[_Parked]] = {}  # by application
        self._retrying = False
        self._is_open = False

    def open(self) -> None:
        """Look from now on, from time to time, for what might have been forgotten."""
        if self._transfer is not None:
            self._loop.call_later(LOOK / SECOND, self._look)

    @property
    def routes(self) -> Routes | None:
        return None if self._transfer is None else self._transfer.routes

    # ---- leaving

    def leave(self, connection: RoutedConnection, owner: int, data: bytes) -> None:
        """Hand a connection over with what was read of it, now or as soon as may be."""
        parked = _Parked(connection, data, monotonic_ns() + PATIENCE)
        waiting = self._parked.setdefault(owner, deque())
        if waiting or not self._send(owner, parked):
            waiting.append(parked)
            self._retry_in(FULL)

    def _send(self, owner: int, parked: _Parked) -> bool:
        transfer, connection = self._transfer, parked.connection
        assert transfer is not None
        sent = transfer.is_served(owner) and transfer.send(owner, connection.wire.socket, parked.data, None)
        if sent:
            connection.cut()
        return sent

    def _retry_in(self, wait: int) -> None:
        if not self._retrying:
            self._retrying = True
            self._loop.call_later(wait / SECOND, self._send_parked)

    def _send_parked(self) -> None:
        assert self._transfer is not None
        self._retrying = False
        now = monotonic_ns()
        for owner, waiting in self._parked.items():
            is_served = self._transfer.is_served(owner)
            while waiting:
                first = waiting[0]
                if not first.connection.wire.gone and not (is_served and self._send(owner, first)):
                    if is_served or now < first.until:
                        self._retry_in(FULL if is_served else UNSERVED)
                        break
                    first.connection.refuse(ProtocolError(503, DOWN))
                waiting.popleft()

    # ---- arriving

    def regulate(self) -> None:
        """Take what comes, unless this worker is to leave and there are others."""
        self._set(not self._life.draining or not self._has_heir())

    def shut(self) -> None:
        """Leave what comes to others for now."""
        self._set(False)

    def _set(self, wide: bool) -> None:
        if self._transfer is not None and wide is not self._is_open:
            self._is_open = wide
            if wide:
                self._door.register(self._transfer.queue, select.EPOLLIN | select.EPOLLEXCLUSIVE)
            else:
                self._door.unregister(self._transfer.queue)

    def __contains__(self, fd: int) -> bool:
        return self._transfer is not None and fd == self._transfer.queue

    def let_in(self) -> OSError | None:
        """Take one client, not more: a wake-up means that one worker is idle. What is returned is why none
        can be taken."""
        assert self._transfer is not None
        try:
            arrival = self._transfer.take()
        except OSError as error:
            return error
        if arrival is not None:
            self._arrived(arrival.socket, arrival.data)
        return None

    def rest(self) -> bool:
        """Take, before leaving, what nobody else might; True if there was something."""
        return self._transfer is not None and not self._has_heir() and self._take_forgotten(self._transfer)

    def _look(self) -> None:
        if self._is_open and self._transfer is not None:
            self._take_forgotten(self._transfer)
        self._loop.call_later(LOOK / SECOND, self._look)

    def _take_forgotten(self, transfer: Transfer) -> bool:
        """Take one of ours, for whoever was woken up for it may have been killed, and what others left."""
        found = False
        with suppress(OSError):  # out of descriptors: what waits goes on waiting
            if (own := transfer.take()) is not None:
                found = True
                self._arrived(own.socket, own.data)
            for stranded in transfer.stranded():
                found = True
                self._arrived(stranded.socket, stranded.data)
        return found

    def _has_heir(self) -> bool:
        handoff = self._life.handoff
        return handoff is not None and handoff.has_heir()
