# A worker's event loop, from the application's start to its end: who comes in, and when to leave.
#
# Accepting: the listeners stand in an epoll set of their own, which is one descriptor to the loop, so that
# the gate of the other backend serves here as well. A connection is accepted by whoever comes first, and an
# event loop that is awake comes first again and again; so whoever has more than others passes it on to them.

from __future__ import annotations

import asyncio
import logging
import select
import socket
from collections.abc import Sequence
from time import monotonic_ns
from typing import Final

from bigtop.backends.asgi.connection import Connection
from bigtop.backends.asgi.lifespan import Lifespan
from bigtop.backends.asgi.relay import Relay
from bigtop.backends.asgi.routed import RoutedConnection
from bigtop.backends.asgi.router import Router
from bigtop.backends.asgi.site import Site
from bigtop.backends.asgi.wire import Turn, Wire
from bigtop.backends.base import Life
from bigtop.backends.deadlines import NEVER, SECOND
from bigtop.backends.gate import RETRY, Gate, Newcomer, room
from bigtop.http.engine import Engine
from bigtop.http.forwarded import Forwarding, Trust
from bigtop.http.routes import RoutedEngine
from bigtop.http.scope import Peer
from bigtop.scoreboard import Word

log = logging.getLogger("bigtop.backend")

UPGRADES: Final = (b"websocket",)
LAST_WORDS: Final = 2.0  # seconds for cancelled calls, and for the application's shutdown past the grace
BATCH: Final = 8  # connections per listener and wake-up

OPEN: Final = int(Word.OPEN)


class Worker:
    """One worker's worth of clients."""

    def __init__(self, site: Site, life: Life, listeners: Sequence[socket.socket]) -> None:
        self._site = site
        self._life = life
        self._loop = site.loop
        self._door = select.epoll()
        self._gate = Gate(listeners, self._door, room(site.options.worker_connections))
        options = site.options
        self._turn = Turn(site.loop, options.limits.send_memory, site.ledger.post)
        self._forwarding = Forwarding(Trust(options.forwarded_allow_ips), options.forwarded_headers)
        self._relay = Relay(life.handoff, site.loop, self._take_over)
        self._router = Router(life, site.loop, self._door, self._take_over)
        self._lifespan = Lifespan(site.app, site.options.lifespan, site.state)
        self._starting: asyncio.Task[None] | None = None
        self._leave_at = float("inf")  # by the loop's clock

    async def run(self) -> None:
        """Serve until the drain is over. AppError when the application does not start; CancelledError when
        the worker is told to leave before that."""
        life, loop = self._life, self._loop
        loop.add_reader(life.fileno(), self._on_lifeline)
        self._starting = asyncio.current_task()
        await self._lifespan.startup()
        self._starting = None
        loop.add_reader(self._door.fileno(), self._on_door)
        self._regulate()
        self._relay.open()
        self._router.open()
        life.ready()
        await self._site.emptied(self._seconds_left)
        while (self._relay.rest() or self._router.rest()) and self._seconds_left():
            await self._site.emptied(self._seconds_left)
        await self._end_calls()
        await self._shut_down()
        loop.remove_reader(self._door.fileno())

    @property
    def is_forced(self) -> bool:
        """Whether the time for a graceful end is used up."""
        return self._loop.time() >= self._leave_at

    # ---- who comes in

    def _on_door(self) -> None:
        now = monotonic_ns()
        for fd, _mask in self._door.poll(0):
            if fd in self._router:
                if (error := self._router.let_in()) is not None:
                    self._gate.starve(error, now)
                continue
            for _ in range(BATCH):
                if self._is_crowded or (newcomer := self._gate.accept(fd, now)) is None:
                    break
                if not self._relay.spread(newcomer.socket, len(self._site.clients)):
                    self._welcome(newcomer)
        if self._gate.retry_at != NEVER or self._is_crowded:
            self._pause()

    def _pause(self) -> None:
        """Let nobody in until there is room again."""
        self._gate.set(False)
        self._router.shut()
        self._life.slot.words[OPEN] = 0
        self._loop.call_later(RETRY / SECOND, self._open_again)

    def _open_again(self) -> None:
        if self._is_crowded and not self._life.draining:
            self._pause()
            return
        self._gate.retry_at = NEVER
        self._regulate()

    def _regulate(self) -> None:
        """Let clients in while this worker is not to leave."""
        self._gate.set(not self._life.draining)
        self._router.regulate()
        self._life.slot.words[OPEN] = not self._life.draining

    @property
    def _is_crowded(self) -> bool:
        return len(self._site.clients) >= self._gate.room

    def _take_over(self, arrived: socket.socket, data: bytes = b"") -> None:
        """Go on with a client that another worker passed on; `data` is what an application read of it."""
        try:
            newcomer = Newcomer(arrived, arrived.getsockname(), arrived.getpeername())
        except OSError:  # it has left on the way
            arrived.close()
            return
        self._welcome(newcomer, data)
        if self._life.draining:
            self._pass_on()

    def _welcome(self, newcomer: Newcomer, data: bytes = b"") -> None:
        site = self._site
        wire = Wire(newcomer.socket, self._turn)
        peer = Peer(newcomer.server, newcomer.client, self._forwarding, "http", site.options.root_path)
        limits, routes = site.options.limits, self._router.routes
        if routes is None:
            Connection(site, wire, peer, Engine(limits, UPGRADES))
            return
        engine = RoutedEngine(limits, UPGRADES, routes)
        connection = RoutedConnection(site, wire, peer, engine, self._router.leave)
        if data:
            connection.take(data)

    # ---- the end

    def _on_lifeline(self) -> None:
        life = self._life
        life.on_lifeline()
        if not life.draining:
            return
        if _is_hung_up(life.fileno()):  # the supervisor is gone; that would be reported for ever
            self._loop.remove_reader(life.fileno())
        self._regulate()
        self._leave_at = min(self._leave_at, self._loop.time() + life.grace)
        self._site.drain()
        self._pass_on()
        if self._starting is not None:  # nobody waits for a start any more, and it may never come to its end
            self._starting.cancel()

    def _pass_on(self) -> None:
        """Let those who have no request here go on with another worker."""
        for client in list(self._site.clients):
            if isinstance(client, Connection) and client.is_idle:
                if not self._relay.leave(client.wire):
                    return
                client.cut()

    def _seconds_left(self) -> float:
        return max(0.0, self._leave_at - self._loop.time())

    async def _end_calls(self) -> None:
        """Cut off what was not done in time."""
        site = self._site
        for client in list(site.clients):
            client.cut()
        if site.tasks:
            log.warning(
                "%d application calls are cancelled: the time for a graceful end is over", len(site.tasks)
            )
            for task in site.tasks:
                task.cancel()
            await asyncio.wait(site.tasks, timeout=LAST_WORDS)

    async def _shut_down(self) -> None:
        try:
            async with asyncio.timeout(max(self._seconds_left(), LAST_WORDS)):
                await self._lifespan.shutdown()
        except TimeoutError:
            log.error("the application did not shut down in time")


def _is_hung_up(fd: int) -> bool:
    look = select.poll()
    look.register(fd, 0)
    return bool(look.poll(0))
