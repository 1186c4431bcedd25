# One client of a socket on which several applications answer: see backends/native/app_queues.py.

from __future__ import annotations

from collections.abc import Callable

from bigtop.backends.asgi.connections.buffered_transport import BufferedTransport
from bigtop.backends.asgi.connections.connection import Connection
from bigtop.backends.asgi.context import WorkerContext
from bigtop.backends.native.app_queues import ProxiedAddresses
from bigtop.http.engine import ELSEWHERE
from bigtop.http.interfaces.scope import Peer
from bigtop.http.messages import queued
from bigtop.http.paths.routes import RoutedEngine


class RoutedConnection(Connection):
    """A connection that leaves with a request for another application, when all before it is answered.

    `leave` hands it over to that application, whose number it is told, with the bytes that were read.
    """

    __slots__ = ("_leave", "_routed", "proxied")

    def __init__(
        self,
        context: WorkerContext,
        transport: BufferedTransport,
        peer: Peer,
        engine: RoutedEngine,
        leave: Callable[[RoutedConnection, int, bytes], None],
    ) -> None:
        self._leave = leave
        self._routed = engine
        self.proxied: ProxiedAddresses | None = None  # what a balancer said of the client
        super().__init__(context, transport, peer, engine)

    def take(self, data: bytes) -> None:
        """Go on with what another application's worker read."""
        self._backlog = queued(self._backlog, self.engine.feed(data))
        self._advance()

    def stalled(self) -> None:
        opening = self.transport.raw.opening
        if opening is not None and opening.owner >= 0:
            self._routed.leave_to(opening.owner)
            self._settle()
        else:
            super().stalled()

    def progressed(self) -> None:
        super().progressed()
        if self.engine.phase is ELSEWHERE and not self.transport.waiting:
            self._settle()

    def _settle(self) -> None:
        if self.engine.phase is not ELSEWHERE or self._lingering or self.is_over:
            super()._settle()
            return
        self.transport.pause()
        if self._writing:
            return
        self._context.timers.stop(self)
        if self._call is not None or self._backlog:  # requests before that one: this comes again behind them
            return
        self.transport.flush()
        if self.transport.waiting:
            self.sending()  # and progressed() comes back to this
        elif not self.transport.gone:
            self._leave(self, self._routed.owner, self.engine.take_rest())
