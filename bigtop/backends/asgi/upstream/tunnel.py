# One client that speaks another protocol with another server (--proxy): bytes both ways, as they come.
#
# Rule: who ends its side ends both.

from __future__ import annotations

from time import monotonic_ns
from typing import Protocol

from bigtop.backends.asgi.connections.buffered_transport import BufferedTransport
from bigtop.backends.asgi.connections.client_connection import ClientConnection
from bigtop.backends.asgi.context import WorkerContext
from bigtop.backends.native.farewells import Asks


class OtherServer(Protocol):
    """The other end."""

    is_over: bool

    @property
    def wants_more(self) -> bool:
        """Whether it takes more now."""

    def body(self, piece: bytes, now: int) -> None:
        """Send it what came."""

    def part(self, now: int) -> None:
        """End, behind what is under way."""

    def resume(self, now: int) -> None:
        """The client has taken what waited."""

    def abandon(self, now: int) -> None:
        """The client sends nothing more, or is gone."""


class Tunnel(ClientConnection):
    """The TransportOwner of a transport after HTTP."""

    __slots__ = ("_other",)

    def __init__(self, context: WorkerContext, transport: BufferedTransport, other: OtherServer) -> None:
        super().__init__(context, transport)
        self._other = other

    def open(self, rest: bytes) -> None:
        """Listen. `rest` came behind the request."""
        self.transport.owner = self
        if rest:
            self._other.body(rest, monotonic_ns())
        if self._context.draining:
            self._part()
        self.wants_body()

    # ---- the client's side

    def received(self, data: bytes) -> None:
        self._context.metrics.bytes_in += len(data)
        self.transport.turn.need()
        if not self._lingering:
            self._other.body(data, monotonic_ns())
            self.wants_body()

    def ended(self) -> None:
        self._other.abandon(monotonic_ns())
        self.linger()

    def progressed(self) -> None:
        super().progressed()
        if not (self._lingering or self.is_full()):
            self._other.resume(monotonic_ns())

    def lost(self) -> None:
        self._other.abandon(monotonic_ns())
        super().lost()

    def drain(self, asks: Asks) -> None:
        asks.append(self._part)

    def _part(self) -> None:
        self._other.part(monotonic_ns())

    # ---- the other server's side

    def raw(self, data: bytes) -> None:
        self._context.metrics.bytes_out += len(data)
        self.transport.write(data)
        if self.transport.waiting:
            self.sending()

    def raw_end(self) -> None:
        self.linger()

    def is_full(self) -> bool:
        return self.transport.waiting > self.transport.turn.limit

    def wants_body(self) -> None:
        if self._other.wants_more:
            self.transport.resume()
        elif not self._lingering:
            self.transport.pause()

    # An answer of HTTP came before, so that none of these follows.

    def take(self, events: object) -> None:
        self.cut()

    def fail(self, error: object) -> None:
        self.cut()

    def break_off(self) -> None:
        self.cut()

    def switch(self, head: object) -> None:
        self.cut()
