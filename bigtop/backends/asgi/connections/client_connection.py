# Base of connections, whatever is spoken on them: how they end.
#
# Rule: a connection that may still send is closed by halves (see http/keep_alive.py).

from __future__ import annotations

from time import monotonic_ns

from bigtop.backends.asgi.connections.buffered_transport import Duplex
from bigtop.backends.asgi.context import WorkerContext
from bigtop.backends.native.farewells import Asks
from bigtop.backends.native.timeouts import Wait
from bigtop.errors import ProtocolError


class ClientConnection:
    """A TransportOwner of a transport that says goodbye. `wait` is the clock that runs."""

    __slots__ = ("_context", "_lingering", "transport", "wait")

    def __init__(self, context: WorkerContext, transport: Duplex) -> None:
        self._context = context
        self._lingering = False  # all is said; what the client still sends is dropped
        self.transport = transport
        self.wait: Wait | None = None

    def sending(self) -> None:
        """Something waits for the client to read."""
        timers = self._context.timers
        if self.wait is not timers.send:
            timers.start(self, timers.send, monotonic_ns())

    def progressed(self) -> None:
        timers, now = self._context.timers, monotonic_ns()
        write_buffer = self.transport.write_buffer
        if write_buffer is not None and write_buffer.size:
            if write_buffer.is_too_slow(timers.send, now):
                self.cut()
            else:
                timers.start(self, timers.send, now)
        elif self._lingering:
            self.linger()
        elif self.wait is timers.send:
            timers.stop(self)

    def linger(self) -> None:
        """Close, but let the client read what it was sent."""
        self._lingering = True
        if self.transport.waiting:
            self.sending()
            return
        self.transport.end_output()
        self._context.timers.start(self, self._context.timers.linger, monotonic_ns())
        self.transport.resume()

    def cut(self) -> None:
        """Close at once."""
        self.transport.close()
        self.lost()

    def stalled(self) -> None:
        """Nothing could be read yet. When a handshake is over, the first request has its time."""
        context, timers = self._context, self._context.timers
        if self.wait is timers.handshake and self.transport.raw.opening is None:
            timers.start(self, timers.last if context.draining else timers.idle, monotonic_ns())

    def refuse(self, error: ProtocolError) -> None:
        self.cut()

    def ended(self) -> None:
        self.cut()

    def lost(self) -> None:
        self._context.remove(self)
        self.transport.turn.need()  # its last request was booked, perhaps without a word to send

    def late(self, wait: Wait) -> None:
        self.cut()

    def drain(self, asks: Asks) -> None:
        raise NotImplementedError
