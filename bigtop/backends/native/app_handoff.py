# Hand-off between applications on the same socket, as one worker of either native server does it.
#
# Connections leave because their next request is another application's, and come from there.
#
# Rule 1: leader, or event loop, only. Rule 2: a connection leaves when all before the foreign request is
# answered. What cannot be handed over now is parked, and tried again: the queue is full, or nobody serves
# that application, which is told to the client when it has lasted.

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final, Generic, NamedTuple, TypeVar

from bigtop.backends.base import Life
from bigtop.backends.native.app_queues import DOWN, PATIENCE, UNSERVED, AppQueues, Arrival
from bigtop.backends.native.timeouts import NEVER
from bigtop.ipc.handoff import FULL, MOST
from bigtop.ipc.seats import Seat, SeatState

STATE: Final = int(Seat.STATE)

C = TypeVar("C")  # a connection


class _Parked(NamedTuple, Generic[C]):
    connection: C
    data: bytes
    until: int


class Departures(Generic[C]):
    """Connections that leave. `hand_over` sends one to an application, by its number, with what was read of
    it, and lets go of it, if there is room; `refuse` answers its client with a status and a text."""

    def __init__(
        self,
        queues: AppQueues,
        hand_over: Callable[[int, C, bytes], bool],
        is_closed: Callable[[C], bool],
        refuse: Callable[[C, int, str], None],
    ) -> None:
        self._queues = queues
        self._hand_over = hand_over
        self._is_closed = is_closed
        self._refuse = refuse
        self._parked: dict[int, deque[_Parked[C]]] = {}  # by application

    def leave(self, connection: C, owner: int, data: bytes, now: int) -> bool:
        """Hand a connection over; False when it has to wait for retry(), after FULL."""
        waiting = self._parked.setdefault(owner, deque())
        if not waiting and self._queues.is_served(owner) and self._hand_over(owner, connection, data):
            return True
        waiting.append(_Parked(connection, data, now + PATIENCE))
        return False

    def retry(self, now: int) -> int:
        """Try again what is parked; return after how long to do that again, NEVER if nothing is left."""
        wait = NEVER
        for owner, waiting in self._parked.items():
            is_served = self._queues.is_served(owner)
            while waiting:
                connection, data, until = waiting[0]
                if not self._is_closed(connection) and not (
                    is_served and self._hand_over(owner, connection, data)
                ):
                    if is_served or now < until:
                        wait = min(wait, FULL if is_served else UNSERVED)
                        break
                    self._refuse(connection, 503, DOWN)
                waiting.popleft()
        return wait


class Arrivals:
    """Connections that come: this application's queue, in the epoll set of the listeners or out of it."""

    def __init__(self, queues: AppQueues, life: Life, epoll: select.epoll) -> None:
        self._queues = queues
        self._life = life
        self._epoll = epoll
        self._is_open = False

    def set(self, wide: bool) -> None:
        """Take what comes (True) or leave it to others. Often called when nothing changed."""
        if wide is not self._is_open:
            self._is_open = wide
            queue = self._queues.queue
            if queue in self._queues.ended:
                return  # take() takes it out of epoll, for good
            if wide:
                self._epoll.register(queue, select.EPOLLIN | select.EPOLLEXCLUSIVE)
            else:
                self._epoll.unregister(queue)

    def __contains__(self, fd: int) -> bool:
        return fd == self._queues.queue

    def take(self) -> Arrival | None:
        """Take one, not more: a wake-up means that one worker is idle. OSError: out of descriptors."""
        arrival = self._queues.take()
        if arrival is None and self._queues.queue in self._queues.ended:
            with suppress(FileNotFoundError):  # a word of before it was taken out
                self._epoll.unregister(self._queues.queue)
        return arrival

    def look(self) -> Iterator[Arrival]:
        """Do what is due every LOOK: take one, for whoever was woken up for it may have been killed, and what
        others have left."""
        # Again, for those who want to know whether we are served: all workers can write there.
        if not self._life.held:
            self._life.slot.seat[STATE] = SeatState.DRAINING if self._life.draining else SeatState.READY
        if self._is_open:
            if (arrival := self._queues.take()) is not None:
                yield arrival
            yield from self._queues.stranded()

    def rest(self) -> Iterator[Arrival]:
        """Take what nobody else might: before the last worker leaves."""
        for _ in range(MOST):
            if (arrival := self._queues.take()) is None:
                break
            yield arrival
        yield from self._queues.stranded()
