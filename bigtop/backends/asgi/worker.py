# A worker's event loop, from the application's start to its end: who comes in, and when to leave.
#
# Accepting: the listeners stand in an epoll set of their own, which is one descriptor to the loop, so that
# the gate of the other backend serves here as well. A connection is accepted by whoever comes first, and an
# event loop that is awake comes first again and again. So a worker takes one connection at a time and pauses
# after each while its siblings take theirs, as long as that is a burst; when connections keep coming it takes
# as many as it can get.

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
from bigtop.backends.asgi.site import Site
from bigtop.backends.asgi.wire import Turn, Wire
from bigtop.backends.base import Life
from bigtop.backends.deadlines import NEVER, SECOND
from bigtop.backends.gate import RETRY, Gate, Newcomer, room
from bigtop.http.asgi import Peer
from bigtop.http.engine import Engine
from bigtop.http.forwarded import Forwarding, Trust

log = logging.getLogger("bigtop.backend")

UPGRADES: Final = (b"websocket",)
LAST_WORDS: Final = 2.0  # seconds for cancelled calls, and for the application's shutdown past the grace
BURST: Final = 16  # connections that are taken one by one: the share of one of 4 workers in 64
BATCH: Final = 8  # connections per wake-up beyond that
PAUSE: Final = 0.001  # seconds after each of them: many times what accepting takes
CALM: Final = SECOND // 10  # without connections, after which the next ones are a new burst


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
        self._lifespan = Lifespan(site.app, site.options.lifespan, site.state)
        self._taken = 0  # connections of the present burst
        self._took_at = 0
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
        self._gate.set(not life.draining)
        life.ready()
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
        if now - self._took_at > CALM:
            self._taken = 0
        self._took_at = now
        gently = self._taken < BURST
        for fd, _mask in self._door.poll(0):
            for _ in range(1 if gently else BATCH):
                if self._is_crowded or (newcomer := self._gate.accept(fd, now)) is None:
                    break
                self._welcome(newcomer)
        if self._gate.retry_at != NEVER or self._is_crowded:
            self._gate.set(False)
            self._loop.call_later(RETRY / SECOND, self._open_again)
        elif gently:
            self._gate.set(False)
            self._loop.call_later(PAUSE, self._open_again)

    def _open_again(self) -> None:
        if self._life.draining:
            return
        if self._is_crowded:
            self._loop.call_later(RETRY / SECOND, self._open_again)
            return
        self._gate.retry_at = NEVER
        self._gate.set(True)

    @property
    def _is_crowded(self) -> bool:
        return len(self._site.clients) >= self._gate.room

    def _welcome(self, newcomer: Newcomer) -> None:
        self._taken += 1
        site = self._site
        wire = Wire(newcomer.socket, self._turn)
        peer = Peer(newcomer.server, newcomer.client, self._forwarding, "http", site.options.root_path)
        Connection(site, wire, peer, Engine(site.options.limits, UPGRADES)).open()

    # ---- the end

    def _on_lifeline(self) -> None:
        life = self._life
        life.on_lifeline()
        if not life.draining:
            return
        if _is_hung_up(life.fileno()):  # the supervisor is gone; that would be reported for ever
            self._loop.remove_reader(life.fileno())
        self._gate.set(False)
        self._leave_at = min(self._leave_at, self._loop.time() + life.grace)
        self._site.drain()
        if self._starting is not None:  # nobody waits for a start any more, and it may never come to its end
            self._starting.cancel()

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
