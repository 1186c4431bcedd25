# How connections come into a worker: accepted, or handed over by another one.
#
# Rule 1: leader only. Rule 2: taken in is only what something could be done for, so that everything else
# finds a worker which is free: not while all application slots are taken, nor with too many connections open.

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

from bigtop.backends.base import Life
from bigtop.backends.deadlines import NEVER
from bigtop.backends.gate import Gate, Newcomer
from bigtop.backends.transfer import Arrival
from bigtop.backends.wsgi.clients import Clients
from bigtop.backends.wsgi.connection import Connection
from bigtop.backends.wsgi.crew import Crew
from bigtop.backends.wsgi.relay import Relay
from bigtop.backends.wsgi.service import Service
from bigtop.errors import ProtocolError
from bigtop.scoreboard import Word

log = logging.getLogger("bigtop.wsgi")

OPEN: Final = int(Word.OPEN)
NEWCOMERS: Final = 8  # let in each time a slot becomes free


class Entrance:
    """Opens and shuts gate and relay. `welcome` makes a Connection of a newcomer; `room` is for so many."""

    def __init__(
        self,
        gate: Gate,
        relay: Relay,
        welcome: Callable[[Newcomer], Connection],
        clients: Clients,
        service: Service,
        crew: Crew,
        life: Life,
    ) -> None:
        self.relay = relay
        self.crowded = False  # as many connections as there may be
        self._told = False
        self._gate = gate
        self._welcome = welcome
        self._clients = clients
        self._service = service
        self._crew = crew
        self._life = life

    def regulate(self) -> None:
        """Take what comes exactly while something could be done for it."""
        self.crowded = len(self._clients.table) >= self._gate.room
        if self.crowded and not self._told:
            self._told = True
            log.warning("%d connections are open, as many as may be; others wait", self._gate.room)
        draining, starved = self._life.draining, self._gate.retry_at != NEVER
        able = self._crew.has_slot and not self.crowded and not starved
        self._life.slot.words[OPEN] = able and not draining
        self._gate.set(able and not draining)
        takes = able and not (draining and self.relay.has_heir())
        self.relay.set(takes, inbox=not starved)
        self.relay.router.set(takes)
        self._clients.deadlines.wake(self.due)

    def enter(self, fd: int, now: int, at_work: int) -> Connection | None:
        """Take one connection from `fd`, if it is one of ours; return it if it came from another worker.

        Of new clients one more for each of the `at_work` that are served before the next look at them:
        otherwise a busy worker lets them in so slowly that the last of them waits for seconds.
        """
        if fd in self._gate:
            for _ in range(1 + at_work):
                if self.crowded:
                    break
                newcomer = self._gate.accept(fd, now)
                if newcomer is None:
                    self.regulate()  # out of descriptors, perhaps
                    break
                if not self.relay.spread(newcomer.socket):
                    self._admit(newcomer, now)
        elif fd in self.relay:
            return self._take_over_from(self.relay.arrival(fd), now)
        elif fd in self.relay.router:
            self._take_over_from(self.relay.router.arrival(), now)
        return None

    def let_in(self, now: int) -> None:
        """Accept some of those who wait outside, although there is work here for the slot that is free: they
        have their turn behind it, and would have none if those who are here always came first."""
        if self._gate.is_open:
            for newcomer in islice(self._gate.accept_all(now), NEWCOMERS):
                self._admit(newcomer, now)
                if self.crowded:
                    break

    def close(self, now: int) -> None:
        """Leave the listeners to others; if there are none, accept first what waits in their queues."""
        if not self.relay.has_heir():
            for newcomer in self._gate.accept_all(now):
                self._admit(newcomer, now)
        self._gate.close()

    def take_rest(self, now: int) -> None:
        """Take over, before leaving, what nobody else might."""
        self._take_over_from(self.relay.rest(), now)
        if not self.relay.has_heir():
            self._take_over_from(self.relay.router.rest(), now)

    @property
    def due(self) -> int:
        """When tend() is to be called."""
        return min(self._gate.retry_at, self.relay.due, self.relay.router.due)

    def tend(self, now: int) -> None:
        """Do what time has come for."""
        if now >= self._gate.retry_at:
            self._gate.retry_at = NEVER
            self.regulate()
        if now >= self.relay.router.due:
            self._take_over_from(self.relay.router.tend(now), now)
        if now >= self.relay.due:
            self._take_over_from(self.relay.tend(now), now)
            if self._gate.is_open:  # a worker that was told of a client may have been killed since
                for newcomer in islice(self._gate.accept_all(now), 1):
                    self._admit(newcomer, now)
            self.regulate()  # a draining worker's heirs may have gone

    def _take_over_from(self, source: Iterator[socket.socket | Arrival], now: int) -> Connection | None:
        """Return the last one that was taken over."""
        connection = None
        try:
            for arrived in source:
                connection = self._take_over(arrived, now)
        except OSError as error:
            self._gate.starve(error, now)
            self.regulate()
        return connection

    def _take_over(self, arrived: socket.socket | Arrival, now: int) -> Connection | None:
        data, said = b"", None
        if isinstance(arrived, Arrival):
            arrived, data, said = arrived
        try:
            newcomer = Newcomer(arrived, arrived.getsockname(), arrived.getpeername(), said)
        except OSError:  # the client has left on the way
            arrived.close()
            return None
        return self._admit(newcomer, now, data)

    def _admit(self, newcomer: Newcomer, now: int, data: bytes = b"") -> Connection:
        connection = self._welcome(newcomer)
        if self._clients.add(connection):
            if data:
                self._service.resume(connection, data)
            else:
                self._service.await_more(connection, now)
        else:
            self._service.refuse(connection, ProtocolError(503, "too many connections from this address"))
        if len(self._clients.table) >= self._gate.room:
            self.regulate()
        return connection
