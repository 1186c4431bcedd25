# One client's socket in the event loop: bytes in, bytes out, and how it ends.
#
# Not a transport of asyncio: with the socket in our own hands a read is one recv() straight into the parser,
# an answer one send() straight from the application's call, and files go out by sendfile(2) on every loop.
#
# Rule 1: nothing here knows what the bytes mean; the Owner is told what came.
# Rule 2: memory is bounded by making the producer wait (room()), and by not reading (pause()).
# Rule 3: after close() nothing is called any more.

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Final, Protocol

from bigtop.backends.outbox import ClientGone, FilePart, Outbox

RECEIVE: Final = 65536  # per recv(2): more would let one fast upload keep the others waiting


class Owner(Protocol):
    """Who understands what the client says."""

    def received(self, data: bytes) -> None:
        """Take what the client sent."""

    def ended(self) -> None:
        """The client sends nothing more, but may still read."""

    def lost(self) -> None:
        """The connection is gone; nothing can be sent."""

    def progressed(self) -> None:
        """The client took some of what waited for it; see `Wire.waiting`."""


class Wire:
    """A connected, non-blocking socket. `limit`: bytes that wait for the client before room() does."""

    __slots__ = ("_limit", "_loop", "_outbox", "_reading", "_waiters", "fd", "gone", "owner", "socket")

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        self.socket = sock
        self.fd = sock.fileno()
        self.gone = False
        self.owner: Owner
        self._loop = loop
        self._limit = limit
        self._reading = False
        self._outbox: Outbox | None = None  # made when the client takes less than there is
        self._waiters: list[asyncio.Future[None]] = []

    # ---- in

    def resume(self) -> None:
        """Read from now on."""
        if not self._reading and not self.gone:
            self._reading = True
            self._loop.add_reader(self.fd, self._on_readable)

    def pause(self) -> None:
        """Read no more; what the client sends waits in the kernel, and then with the client."""
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self.fd)

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
        """Send what the socket takes now, the rest later. Never fails: see `gone`."""
        if self.gone:
            return
        if self._outbox is not None:
            self._put(data)
            return
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._lose()
            return
        if sent != len(data):
            self._put(memoryview(data)[sent:])

    def write_file(self, head: bytes, part: FilePart, tail: bytes) -> None:
        """Send a piece of a file between two pieces of memory. The file must stay open until flushed()."""
        if not self.gone:
            self._put(*filter(len, (head,)), part, *filter(len, (tail,)))

    def _put(self, *parts: bytes | memoryview | FilePart) -> None:
        outbox = self._outbox or Outbox(self.socket, self._limit)
        try:
            if outbox.put(*parts):
                self._outbox = outbox
                self._loop.add_writer(self.fd, self._on_writable)
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
            self._loop.remove_writer(self.fd)
        if empty or outbox.size <= self._limit // 2:
            self._wake()
        self.owner.progressed()

    async def room(self) -> None:
        """Wait while too much waits for the client."""
        if self.waiting > self._limit:
            await self._wait()

    async def flushed(self) -> None:
        """Wait until the client has taken everything, or is gone."""
        while self._outbox is not None and not self.gone:
            await self._wait()

    async def _wait(self) -> None:
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # ---- the end

    def end_output(self) -> None:
        """Tell the client that nothing more comes."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def _lose(self) -> None:
        self.close()
        self.owner.lost()

    def reset(self) -> None:
        """Close so that the client cannot take it for a proper end."""
        if not self.gone:
            # SO_LINGER with no time makes close(2) send a reset.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        if self.gone:
            return
        self.gone = True
        self.pause()
        if self._outbox is not None:
            self._loop.remove_writer(self.fd)
            self._outbox = None
        self.socket.close()
        self._wake()
