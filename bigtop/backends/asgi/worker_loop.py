# A worker's event loop, from the application's start to its end: who comes in, and when to leave.
#
# Accepting: the listeners stand in an epoll set of their own, which is one descriptor to the loop, so that
# the acceptor of the other backend serves here as well. A connection is accepted by whoever comes first, and
# an event loop that is awake comes first again and again; so whoever has more than others passes it on to
# them.

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Iterator, Sequence
from contextvars import Context
from time import monotonic_ns
from typing import Final

from bigtop.backends.asgi.calls.lifespan import Lifespan
from bigtop.backends.asgi.connections.app_handoff import AppHandoff
from bigtop.backends.asgi.connections.connection import Connection
from bigtop.backends.asgi.connections.connection_factory import ConnectionFactory
from bigtop.backends.asgi.connections.proxied_connection import ProxiedConnection
from bigtop.backends.asgi.connections.worker_handoff import WorkerHandoff
from bigtop.backends.asgi.context import WorkerContext
from bigtop.backends.base import Life
from bigtop.backends.cutoff import LAST_WORDS
from bigtop.backends.native.acceptor import RETRY, Accepted, Acceptor, room
from bigtop.backends.native.app_queues import ProxiedAddresses
from bigtop.backends.native.timeouts import NEVER, SECOND
from bigtop.backends.native.transport.transport import TransportFactory
from bigtop.ipc.seats import Seat
from bigtop.log import logger as get_logger

log = get_logger("bigtop.backend")

BATCH: Final = 8  # connections per listener and wake-up

OPEN: Final = int(Seat.OPEN)


class WorkerLoop:
    """One worker's worth of clients."""

    def __init__(
        self,
        context: WorkerContext,
        life: Life,
        listeners: Sequence[socket.socket],
        transport_of: TransportFactory,
        *,
        prior_knowledge: bool,
    ) -> None:
        self._context = context
        self._life = life
        self._loop = context.loop
        self._accept_epoll = select.epoll()
        self._acceptor = Acceptor(
            listeners, self._accept_epoll, room(context.options.worker_connections), life.slot.words
        )
        self._worker_handoff = WorkerHandoff(life.handoff, context.loop, self._take_over)
        self._app_handoff = AppHandoff(life, context.loop, self._accept_epoll, self._take_over)
        self._connections = ConnectionFactory(
            *(context, transport_of, self._app_handoff.routes, self._app_handoff.leave),
            prior_knowledge=prior_knowledge,
        )
        self._lifespan = Lifespan(context.app, context.options.lifespan, context.state)
        self._starting: asyncio.Task[None] | None = None
        self._has_begun = self._is_open = False
        self._leave_at = float("inf")  # by the loop's clock

    async def run(self) -> None:
        """Serve until the drain is over. AppError when the application does not start; CancelledError when
        the worker is told to leave before that."""
        life, loop = self._life, self._loop
        loop.add_reader(life.fileno(), self._on_lifeline)
        self._starting = asyncio.current_task()
        await self._lifespan.startup()
        self._starting = None
        self._has_begun = True
        loop.add_reader(self._accept_epoll.fileno(), self._on_door)
        if not life.held:
            self._open()
        life.ready()
        await self._context.emptied(self._seconds_left)
        while (self._worker_handoff.rest() or self._app_handoff.rest()) and self._seconds_left():
            await self._context.emptied(self._seconds_left)
        await self._end_calls()
        await self._shut_down()
        loop.remove_reader(self._accept_epoll.fileno())

    def is_serving(self) -> bool:
        """Whether the application has started."""
        return self._has_begun

    @property
    def is_forced(self) -> bool:
        """Whether the time for a graceful end is used up."""
        return self._loop.time() >= self._leave_at

    # ---- who comes in

    def _open(self) -> None:
        self._is_open = True
        self._regulate()
        self._worker_handoff.open()
        self._app_handoff.open()

    def _heed(self) -> None:
        """Do what the supervisor says of clients: serve its own, take others, share them out."""
        while self._life.probes:
            self._connections.welcome(self._acceptor.probed(self._life.probes.popleft()), b"")
        if self._has_begun and not self._life.held and not self._is_open:
            self._open()
        if self._life.shares:
            self._life.shares = False
            for client in self._movable():
                if not self._worker_handoff.leave(client.transport, below=len(self._context.clients) - 1):
                    return
                client.cut()

    def _on_door(self) -> None:
        now = monotonic_ns()
        for fd, _mask in self._accept_epoll.poll(0):
            if fd in self._app_handoff:
                if (error := self._app_handoff.let_in()) is not None:
                    self._acceptor.starve(error, now)
                continue
            for number in range(self._acceptor.waiting(fd, BATCH)):
                if self._is_crowded:
                    break
                if (accepted := self._acceptor.accept(fd, now, number)) is None:
                    break
                if not self._worker_handoff.spread(accepted.socket, len(self._context.clients)):
                    transport = self._connections.welcome(accepted, b"", hold=True)
                    # By the loop, so that a fault of ours with one costs no other; in no context: see
                    # transport_events.py.
                    self._loop.call_soon(transport.first_read, context=Context())
        if self._acceptor.retry_at != NEVER or self._is_crowded:
            self._pause()

    def _pause(self) -> None:
        """Let nobody in until there is room again."""
        self._acceptor.set(False)
        self._app_handoff.shut()
        self._life.slot.seat[OPEN] = 0
        self._loop.call_later(RETRY / SECOND, self._open_again)

    def _open_again(self) -> None:
        if self._is_crowded and not self._life.draining:
            self._pause()
            return
        self._acceptor.retry_at = NEVER
        self._regulate()

    def _regulate(self) -> None:
        """Let clients in while this worker is not to leave."""
        self._acceptor.set(self._is_open and not self._life.draining)
        if self._is_open:
            self._app_handoff.regulate()
        self._life.slot.seat[OPEN] = self._is_open and not self._life.draining

    @property
    def _is_crowded(self) -> bool:
        return len(self._context.clients) >= self._acceptor.room

    def _take_over(
        self, arrived: socket.socket, data: bytes = b"", proxied: ProxiedAddresses | None = None
    ) -> None:
        """Go on with a client that another worker passed on; `data` is what an application read of it."""
        try:
            accepted = Accepted(arrived, arrived.getsockname(), arrived.getpeername(), proxied)
        except OSError:  # it has left on the way
            arrived.close()
            return
        self._connections.welcome(accepted, data)
        if self._life.draining:
            self._pass_on()

    # ---- the end

    def _on_lifeline(self) -> None:
        life = self._life
        life.on_lifeline()
        if not life.draining:
            self._heed()
            return
        if _is_hung_up(life.fileno()):  # the supervisor is gone; that would be reported for ever
            self._loop.remove_reader(life.fileno())
        if self._is_open and not self._worker_handoff.has_heir():
            for accepted in self._acceptor.accept_all(monotonic_ns()):  # nobody else will
                self._connections.welcome(accepted, b"")
        self._acceptor.close()
        self._regulate()
        self._leave_at = min(self._leave_at, self._loop.time() + life.grace)
        self._context.drain(self._seconds_left())
        self._pass_on()
        if self._starting is not None:  # nobody waits for a start any more, and it may never come to its end
            self._starting.cancel()

    def _pass_on(self) -> None:
        """Let those who have no request here go on with another worker."""
        for client in self._movable():
            if not self._worker_handoff.leave(client.transport):
                return
            client.cut()

    def _movable(self) -> Iterator[Connection]:
        """Yield those who have no request here, and that another worker could go on with."""
        for client in self._context.clients:
            if isinstance(client, ProxiedConnection):
                continue
            if isinstance(client, Connection) and client.is_idle and client.transport.raw.is_movable:
                yield client

    def _seconds_left(self) -> float:
        return max(0.0, self._leave_at - self._loop.time())

    async def _end_calls(self) -> None:
        """Cut off what was not done in time."""
        context = self._context
        self._life.cut_off()
        for client in context.clients:
            client.cut()
        if tasks := context.tasks.open:
            log.warning("%d application calls are cancelled: the time for a graceful end is over", len(tasks))
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=LAST_WORDS)

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
