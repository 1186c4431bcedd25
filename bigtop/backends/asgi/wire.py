# One client's socket in the event loop: bytes in, bytes out, and how it ends.
#
# Not a transport of asyncio: with the socket in our own hands a read is one recv() straight into the parser,
# an answer one send() straight from the application's call, and files go out by sendfile(2) on every loop.
#
# Small answers leave together at the end of a turn of the loop: several of one client (pipelining, a stream
# of crumbs) in one send(2), and those of several clients close behind each other, which costs far less than
# waking up whoever waits for them once per answer.
#
# Rule 1: nothing here knows what the bytes mean; the Owner is told what came.
# Rule 2: memory is bounded by making the producer wait (room()), and by not reading (pause()).
# Rule 3: after close() nothing is called any more.

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from typing import Final, Protocol

from bigtop.backends.asgi.waiters import Waiters
from bigtop.backends.outbox import Bounds, ClientGone, FilePart, Outbox
from bigtop.backends.transfer import READ

RECEIVE: Final = READ  # per recv(2): more would let one fast upload keep the others waiting


SMALL: Final = 16384  # bytes that may wait for the end of the turn: a socket with room takes them at once


class Turn:
    """What is done once at the end of a turn of the loop, for all: `post` is called, then wires send.

    `limit`: bytes that wait for one client before room() does. In memory only: a coroutine that is held back
    costs nothing.
    """

    __slots__ = ("_context", "_post", "_wires", "bounds", "is_due", "limit", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int, post: Callable[[], None]) -> None:
        self.loop = loop
        self.limit = limit
        self.bounds = Bounds(limit, 0, None)
        self.is_due = False
        self._post = post
        self._context = Context()  # not that of the application call that happens to be the first
        self._wires: list[Wire] = []

    def need(self) -> None:
        """Have end() called."""
        if not self.is_due:
            self.is_due = True
            self.loop.call_soon(self.end, context=self._context)

    def add(self, wire: Wire) -> None:
        self._wires.append(wire)
        if not self.is_due:
            self.need()

    def end(self) -> None:
        self.is_due = False
        self._post()  # first: who has read an answer may find it counted
        wires, self._wires = self._wires, []
        for wire in wires:
            wire.flush()


class Owner(Protocol):
    """Who understands what the client says."""

    def received(self, data: bytes) -> None:
        """Take what the client sent."""

    def ended(self) -> None:
        """The client sends nothing more, but may still read."""

    def lost(self) -> None:
        """The connection is gone; nothing can be sent."""

    def progressed(self) -> None:
        """What waits for the client became more or less; see `Wire.waiting`."""


class Wire:
    """A connected, non-blocking socket."""

    __slots__ = (
        "_outbox", "_queue", "_reading", "_size", "_waiters",
        "at_end", "fd", "gone", "owner", "socket", "turn",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, turn: Turn) -> None:
        self.socket = sock
        self.fd = sock.fileno()
        self.gone = False  # closed
        self.at_end = False  # the client sends nothing more
        self.owner: Owner
        self.turn = turn
        self._queue: list[bytes] = []  # for the end of the turn
        self._size = 0  # of that
        self._reading = False
        self._outbox: Outbox | None = None  # made when the client takes less than there is
        self._waiters = Waiters(turn.loop)

    # ---- in

    def resume(self) -> None:
        """Read from now on, if there can be anything to read."""
        if not self._reading and not self.gone and not self.at_end:
            self._reading = True
            # In no context: that of the call which takes a body would last as long as the connection.
            Context().run(self.turn.loop.add_reader, self.fd, self._on_readable)

    def pause(self) -> None:
        """Read no more; what the client sends waits in the kernel, and then with the client."""
        if self._reading:
            self._reading = False
            self.turn.loop.remove_reader(self.fd)

    def _on_readable(self) -> None:
        try:
            data = self.socket.recv(RECEIVE)
        except BlockingIOError:
            return
        except OSError:
            self._lose()
            return
        if data:
            self.owner.received(data)
        else:
            self.pause()  # an end is readable for ever
            self.at_end = True
            self.owner.ended()

    def has_input(self) -> bool:
        """Whether something is there to be read that was not reported yet."""
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    # ---- out

    @property
    def waiting(self) -> int:
        """How many bytes the client has not taken yet."""
        return self._outbox.size if self._outbox is not None else 0

    def write(self, data: bytes) -> None:
        """Send, as soon as the socket takes it. Never fails: see `gone`."""
        if self.gone or not data:
            return
        if self._outbox is not None:
            self._put(data)
            return
        if not self._queue:
            self.turn.add(self)
        self._queue.append(data)
        self._size += len(data)
        if self._size > SMALL:
            self.flush()

    def flush(self) -> None:
        """Send what waits for the end of the turn."""
        queue = self._queue
        if not queue or self.gone:
            return
        data = queue.pop() if len(queue) == 1 else b"".join(queue)
        queue.clear()
        self._size = 0
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._lose()
            return
        if sent != len(data):
            self._put(memoryview(data)[sent:])
            self.owner.progressed()

    def write_between(self, before: bytes, part: FilePart | bytes, after: bytes) -> None:
        """Send a piece of a file, which must stay open until flushed(), or of memory, which is not copied,
        between two small ones."""
        self.flush()
        if self.gone:
            return
        if self._outbox is not None or isinstance(part, FilePart):
            self._put(*(piece for piece in (before, part, after) if piece))
            return
        try:
            sent = self.socket.sendmsg((before, part, after))
        except BlockingIOError:
            sent = 0
        except OSError:
            self._lose()
            return
        first, second = len(before), len(part)
        if sent != first + second + len(after):
            rest = max(0, sent - first)
            last = max(0, rest - second)
            self._put(memoryview(before)[sent:], memoryview(part)[rest:], memoryview(after)[last:])
            self.owner.progressed()

    def _put(self, *parts: bytes | memoryview | FilePart) -> None:
        outbox = self._outbox or Outbox(self.socket, self.turn.bounds)
        try:
            if outbox.put(*parts):
                self._outbox = outbox
                self.turn.loop.add_writer(self.fd, self._on_writable)
        except ClientGone:
            self._lose()

    def _on_writable(self) -> None:
        outbox = self._outbox
        assert outbox is not None
        try:
            empty = outbox.flush()
        except ClientGone:
            self._lose()
            return
        if empty:
            self._outbox = None
            self.turn.loop.remove_writer(self.fd)
        if empty or outbox.size <= self.turn.limit // 2:
            self._waiters.wake()
        self.owner.progressed()

    async def room(self) -> None:
        """Wait while too much waits for the client."""
        if self.waiting > self.turn.limit:
            await self._waiters.wait()

    async def flushed(self) -> None:
        """Wait until the client has taken everything, or is gone."""
        while self._outbox is not None and not self.gone:
            await self._waiters.wait()

    # ---- the end

    def end_output(self) -> None:
        """Tell the client that nothing more comes."""
        self.flush()
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def _lose(self) -> None:
        self.close()
        self.owner.lost()

    def close(self, *, reset: bool = False) -> None:
        """Close; `reset` so that the client cannot take it for a proper end."""
        self.flush()
        if self.gone:
            return
        if reset:
            # SO_LINGER with no time makes close(2) send a reset.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.gone = True
        self.pause()
        if self._outbox is not None:
            self.turn.loop.remove_writer(self.fd)
            self._outbox = None
        self.socket.close()
        self._waiters.wake()
