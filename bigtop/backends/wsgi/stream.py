# Stream: the answers to one client, all that an application call needs of the connection.
#
# A connection of HTTP/1.1 has one stream, for one call after the other. One of HTTP/2 has one for each
# request (http2/stream.py).
#
# Rule: who runs a call writes; what its client does not take, or what may wait for others, is left to the
# leader. A stream touches nothing of the event loop, and has no lock but that of its write buffer.

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from socket import SHUT_RD

from bigtop.backends.native.transport.hangup import Departure, Hangup
from bigtop.backends.native.transport.transport import Transport
from bigtop.backends.native.transport.write_buffer import Bounds, ClientGone, WriteBuffer
from bigtop.http.handlers import FilePart
from bigtop.http.interfaces.wsgi import Peer


class Leader(ABC):
    """Who leads the event loop, as far as streams know it. From any thread."""

    @abstractmethod
    def hold(self, stream: Stream, data: bytes) -> bool:
        """Take `data`, the end of an answer, and send it soon; False if that cannot be promised."""

    @abstractmethod
    def block(self, stream: Stream) -> None:
        """Send what the client of `stream` did not take, when it does."""


class Stream:
    """Sends answers. All that write raise ClientGone. `fd` is less than 0 where it is one of several."""

    __slots__ = ("_bounds", "_leader", "fd", "peer", "transport", "write_buffer", "written")

    def __init__(self, transport: Transport, peer: Peer, leader: Leader, bounds: Bounds) -> None:
        self.transport = transport
        self.fd = transport.fileno()
        self.peer = peer
        self._leader = leader
        self._bounds = bounds
        self.write_buffer: WriteBuffer | None = None  # made when the client takes less than there is
        self.written = 0  # bytes of the answer under way

    # ---- who runs the call

    def write(self, data: bytes) -> None:
        """Send what the client takes now, and let the leader send the rest."""
        self.written += len(data)
        if self.write_buffer is None:
            try:
                sent = self.transport.send(data)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                raise ClientGone from error
            if sent == len(data):
                return
            self._put(memoryview(data)[sent:])
        else:
            self._put(memoryview(data))

    def write_last(self, data: bytes) -> None:
        """Send what ends the answer; perhaps not at once."""
        if self.write_buffer is not None or not self._leader.hold(self, data):
            self.write(data)

    def write_large(self, head: bytes, body: bytes) -> None:
        """Send an answer that is not copied, and not held, which would keep a lot of memory."""
        size, sent = len(head) + len(body), 0
        self.written += size
        if self.write_buffer is None:
            try:
                sent = self.transport.sendmsg((head, body), False)
            except BlockingIOError:
                pass
            except OSError as error:
                raise ClientGone from error
            if sent == size:
                return
        rest = max(0, sent - len(head))
        self._put(memoryview(head)[sent:], memoryview(body)[rest:])

    def write_file(self, head: bytes, parts: Sequence[bytes | FilePart]) -> None:
        """Send an answer of which `parts` are in files."""
        self.written += len(head)
        for part in parts:
            self.written += part.count if isinstance(part, FilePart) else len(part)
        self._put(head, *parts)

    @property
    def waits(self) -> bool:
        """Whether there is something that the client has not taken."""
        return self.write_buffer is not None and self.write_buffer.size > 0

    @property
    def is_full(self) -> bool:
        """Whether so much waits for the client that the call has to wait, too."""
        return self.write_buffer is not None and self.write_buffer.is_full()

    def room(self) -> None:
        """Wait until the client has taken a good part of what waits."""
        if self.write_buffer is not None:
            self.write_buffer.wait_for_room()

    def finish(self) -> None:
        """All of the answer was written. What is one of several needs an end; HTTP/1.1 has none (`fd`)."""

    def inform(self, headers: list[tuple[str, str]]) -> None:
        """Send early hints, where they are no bytes."""
        raise NotImplementedError("those of HTTP/1.1 are")

    def departure(self) -> Departure:
        """Return what tells whether the client has left while an answer brings nothing."""
        return Hangup(self.transport)

    def _put(self, *parts: bytes | memoryview | FilePart) -> None:
        if self._made().put(*parts):
            self._leader.block(self)

    # ---- the leader

    def deliver(self, data: bytes) -> None:
        """Send what was held, perhaps while the call goes on, to close its response."""
        try:
            self.write(data)
        except ClientGone:
            self._made().abandon()

    def abandon(self) -> None:
        """Neither send nor receive anything more. A call that goes on finds its client gone."""
        with suppress(OSError):  # it is gone indeed
            self.transport.shutdown(SHUT_RD)
        self._made().abandon()

    def _made(self) -> WriteBuffer:
        if self.write_buffer is None:
            self.write_buffer = WriteBuffer(self.transport, self._bounds)
        return self.write_buffer
