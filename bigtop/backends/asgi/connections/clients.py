# The connections of a worker, whatever is spoken on them.

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from bigtop.backends.asgi.metrics import AsgiMetrics
from bigtop.backends.native.farewells import Asks
from bigtop.backends.native.timeouts import Wait
from bigtop.errors import ProtocolError
from bigtop.http.clients.peer import BasePeer
from bigtop.http.handlers import ConnectionHandler


class Client(Protocol):
    """A connection."""

    wait: Wait | None

    def late(self, wait: Wait) -> None:
        """The clock of `wait` has run out."""

    def drain(self, asks: Asks) -> None:
        """The worker wants to end; may be said again. Who has no end of its own adds what asks it to come
        again."""

    def cut(self) -> None:
        """Close, whatever is open."""


class Clients:
    """All open connections. `handler` decides who may have one, None: everybody; `left` hears of each end."""

    __slots__ = ("_handler", "_left", "_metrics", "_peers", "_table")

    def __init__(
        self, metrics: AsgiMetrics, handler: ConnectionHandler | None, left: Callable[[], object]
    ) -> None:
        self._metrics = metrics
        self._handler = handler
        self._left = left
        self._table: set[Client] = set()
        self._peers: dict[Client, BasePeer] = {}  # as the handler was told

    def __len__(self) -> int:
        return len(self._table)

    def __iter__(self) -> Iterator[Client]:
        return iter(list(self._table))

    def add(self, client: Client, peer: BasePeer) -> ProtocolError | None:
        """Take a connection in; return why it has to be refused, None if it has not."""
        self._table.add(client)
        self._metrics.connected(len(self._table))
        if self._handler is None:
            return None
        self._peers[client] = peer
        return self._handler.opened(peer)

    def replace(self, old: Client, new: Client) -> None:
        """Let `new` speak for a connection on which the protocol was switched."""
        self._table.discard(old)
        self._table.add(new)
        if old in self._peers:
            self._peers[new] = self._peers.pop(old)

    def remove(self, client: Client) -> None:
        self._table.discard(client)
        self._metrics.disconnected(len(self._table))
        self._metrics.arrived(client)
        if self._handler is not None and client in self._peers:
            self._handler.closed(self._peers.pop(client))
        self._left()
