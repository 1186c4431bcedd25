# Link to a client that speaks HTTP/2: what its streams share.
#
# Rule: frames are made at the end of a turn of the loop, and only while the socket takes them: what is urgent
# then goes first, and what waits for a client waits as bodies, each with its stream.

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from bigtop.backends.asgi.connections.buffered_transport import Duplex
from bigtop.backends.native.farewells import Asks
from bigtop.errors import ProtocolError
from bigtop.http.h2.connection import Http2Connection

MOST: Final = 65536  # bytes that are framed at once
ROUNDS: Final = 16  # of that in one turn: other clients have their share


class ClientStream(Protocol):
    """What is told what happens to a stream."""

    def received(self, data: bytes) -> None:
        """A piece of the body came."""

    def body_ended(self) -> None:
        """The body is complete."""

    def refuse(self, error: ProtocolError) -> None:
        """The client broke HTTP, or is too slow, in the body of the request."""

    def leave(self) -> None:
        """Nobody waits for the answer any more."""

    def drain(self, asks: Asks) -> None:
        """The worker wants to end: see Client.drain()."""

    def progressed(self) -> None:
        """Something went out, perhaps."""


class Filling(Protocol):
    """Of what more is to be sent than is framed."""

    def fill(self) -> None:
        """Hand over more of it."""


class Link:
    """One client's. `settle` is called at the end of a turn in which something was sent."""

    __slots__ = ("_is_due", "_settle", "filling", "held", "http2", "is_closed", "streams", "transport")

    def __init__(self, transport: Duplex, http2: Http2Connection, settle: Callable[[], None]) -> None:
        self.transport = transport
        self.http2 = http2
        self._settle = settle
        self._is_due = False  # at the end of this turn
        self.is_closed = False  # nothing more is sent
        self.streams: dict[int, ClientStream] = {}
        self.filling: dict[int, Filling] = {}
        self.held: dict[int, ClientStream] = {}  # those that want to know when something went out

    def need(self) -> None:
        """Have flush() called at the end of this turn."""
        if not self._is_due and not self.is_closed:
            self._is_due = True
            self.transport.turn.add(self)

    def flush(self) -> None:
        self._is_due = False
        if not self.is_closed:
            self.push()
            self._settle()

    def push(self) -> None:
        """Send what the windows let out, as far as the socket takes it."""
        transport, http2 = self.transport, self.http2
        for _ in range(ROUNDS):
            for filling in list(self.filling.values()):
                filling.fill()
            if transport.gone or transport.waiting or not (data := http2.output(MOST)):
                break
            transport.write_between(b"", data, b"")
        else:
            self.need()
        for held in list(self.held.values()):
            held.progressed()

    def interim(self, number: int, block: bytes) -> None:
        """Send a head ahead of that of an answer."""
        self.http2.interim(number, block)
        self.need()

    def close(self, number: int) -> None:
        """Nobody has anything to do with a stream any more; what was handed over still goes out."""
        self.streams.pop(number, None)
        self.filling.pop(number, None)
        self.held.pop(number, None)
        self.http2.release(number)
        self.need()
