# One client of a socket on which several applications answer: see backends/transfer.py.

from __future__ import annotations

from collections.abc import Callable

from bigtop.backends.asgi.connection import Connection
from bigtop.backends.asgi.site import Site
from bigtop.backends.asgi.wire import Wire
from bigtop.http.engine import ELSEWHERE
from bigtop.http.routes import RoutedEngine
from bigtop.http.scope import Peer


class RoutedConnection(Connection):
    """A connection that leaves with a request for another application, when all before it is answered.

    `leave` hands it over to that application, whose number it is told, with the bytes that were read.
    """

    __slots__ = ("_leave", "_routed")

    def __init__(
        self,
        site: Site,
        wire: Wire,
        peer: Peer,
        engine: RoutedEngine,
        leave: Callable[[RoutedConnection, int, bytes], None],
    ) -> None:
        self._leave = leave
        self._routed = engine
        super().__init__(site, wire, peer, engine)

    def take(self, data: bytes) -> None:
        """Go on with what another application's worker read."""
        self._backlog += self._engine.feed(data)
        self._advance()

    def progressed(self) -> None:
        super().progressed()
        if self._engine.phase is ELSEWHERE and not self.wire.waiting:
            self._settle()

    def _settle(self) -> None:
        if self._engine.phase is not ELSEWHERE or self._lingering or self._over:
            super()._settle()
            return
        self.wire.pause()
        if self._writing:
            return
        self._site.clocks.stop(self)
        if self._call is not None:
            return
        self.wire.flush()
        if self.wire.waiting:
            self.sending()  # and progressed() comes back to this
        elif not self.wire.gone:
            self._leave(self, self._routed.owner, self._engine.take_rest())
