# A client's transport in the event loop: bytes in, bytes that wait on their way out, and how it ends.
#
# Not a transport of asyncio: with the socket in our own hands a read is one recv() straight into the parser,
# an answer one send() straight from the application's call, and files go out by sendfile(2) on every loop.
#
# Small answers leave together at the end of a turn of the loop: several of one client (pipelining, a stream
# of crumbs) in one send(2), and those of several clients close behind each other, which costs far less than
# waking up whoever waits for them once per answer.
#
# Rule 1: nothing here knows what the bytes mean; the TransportOwner is told what came.
# Rule 2: memory is bounded by making the producer wait (room()), and by not reading (pause()).
# Rule 3: after close() nothing is called any more.

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from socket import SHUT_WR
from typing import Final, Protocol

from bigtop.backends.asgi.calls.stream import Stream
from bigtop.backends.asgi.connections.transport_events import TransportEvents
from bigtop.backends.asgi.loop.waiters import Waiters
from bigtop.backends.native.app_queues import READ
from bigtop.backends.native.transport.pace import STEP
from bigtop.backends.native.transport.transport import Bytes, Transport
from bigtop.backends.native.transport.write_buffer import Bounds, ClientGone, WriteBuffer
from bigtop.errors import ProtocolError
from bigtop.http.handlers import FilePart
from bigtop.http.interfaces.asgi import early_hints
from bigtop.http.response import CONTINUE

RECEIVE: Final = READ  # per recv(2): more would let one fast upload keep the others waiting
UNUSED: Final = -1  # bytes in the queue when none ever were: see is_unused
SMALL: Final = 16384  # bytes that may wait for the end of the turn: a socket with room takes them at once


class Flushable(Protocol):
    """Who has something to send."""

    def flush(self) -> None:
        """Send it."""


class LoopTurn:
    """What is done once at the end of a turn of the loop, for all: `post` is called, then all send.

    `limit`: bytes that wait for one client before room() does. In memory only: a coroutine that is held back
    costs nothing.
    """

    __slots__ = ("_context", "_post", "_waiting", "bounds", "is_due", "limit", "loop", "reports_once")

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int, post: Callable[[], None]) -> None:
        self.loop = loop
        self.limit = limit
        self.bounds = Bounds(limit, 0, None)
        # uvloop calls a reader once more when the connection was reset, which may find what came before that,
        # and never again.
        self.reports_once = type(loop).__module__.partition(".")[0] == "uvloop"
        self.is_due = False
        self._post = post
        self._context = Context()  # not that of the application call that happens to be the first
        self._waiting: list[Flushable] = []

    def need(self) -> None:
        """Have end() called."""
        if not self.is_due:
            self.is_due = True
            self.loop.call_soon(self.end, context=self._context)

    def add(self, one: Flushable) -> None:
        """Have flush() of this one called in end()."""
        self._waiting.append(one)
        if not self.is_due:
            self.need()

    def end(self) -> None:
        self.is_due = False
        self._post()  # first: who has read an answer may find it counted
        waiting, self._waiting = self._waiting, []
        at = 0
        try:
            for one in waiting:
                at += 1
                one.flush()
        finally:
            if at < len(waiting):  # a fault of ours, which the loop logs, costs nobody else
                self._waiting[:0] = waiting[at:]
                self.need()


class TransportOwner(Protocol):
    """Who understands what the client says."""

    def received(self, data: bytes) -> None:
        """Take what the client sent; nothing when HTTP/2 was agreed on, which is told before all else."""

    def stalled(self) -> None:
        """Nothing could be read: the transport is not open yet, or it opens with that."""

    def refuse(self, error: ProtocolError) -> None:
        """The client speaks something else than this socket does."""

    def ended(self) -> None:
        """The client sends nothing more, but may still read."""

    def lost(self) -> None:
        """The connection is gone; nothing can be sent."""

    def progressed(self) -> None:
        """What waits for the client became more or less; see `waiting`."""


class Duplex(Stream):
    """A stream with an owner, and with an end of its own."""

    __slots__ = ("gone", "owner", "turn", "write_buffer")

    def __init__(self, raw: Transport, turn: LoopTurn) -> None:
        Stream.__init__(self, raw)
        self.gone = False  # closed
        self.owner: TransportOwner
        self.turn = turn
        self.write_buffer: WriteBuffer | None = None  # of what the client has not taken, if it waits here

    @abstractmethod
    def pause(self) -> None:
        """Read no more; what the client sends waits with it."""

    @property
    def is_unused(self) -> bool:
        """Whether nothing was ever sent."""
        return False

    def flush(self) -> None:
        """Send what waits for the end of the turn."""

    def has_input(self) -> bool:
        """Whether something is there to be read that was not reported yet."""
        return False

    @abstractmethod
    def end_output(self) -> None:
        """Tell the client that nothing more comes."""

    @abstractmethod
    def close(self, *, reset: bool = False) -> None:
        """Close; `reset` so that the client cannot take it for a proper end."""


class BufferedTransport(Duplex):
    """A transport that takes what it is given, and tells what came."""

    paces = True

    __slots__ = (
        "_events",
        "_queue",
        "_recv",
        "_send",
        "_size",
        "_waiters",
    )

    def __init__(self, transport: Transport, turn: LoopTurn) -> None:
        Duplex.__init__(self, transport, turn)
        # A method of which another transport would make an object for each of its clients.
        plain = transport if transport.is_plain else None
        self._recv: Callable[[int], bytes] | None = None if plain is None else plain.recv
        self._send: Callable[[Bytes], int] | None = None if plain is None else plain.send
        self._events = TransportEvents(transport, turn.loop, self)
        self._queue: list[bytes] = []  # for the end of the turn
        self._size = UNUSED  # of that
        self._waiters: Waiters | None = None

    @property
    def is_unused(self) -> bool:
        """Whether nothing was ever sent."""
        return self._size == UNUSED

    # ---- in

    def first_read(self) -> None:
        """Read what came with the connection, and have the loop watch it only then: to a client that is
        answered and leaves a loop gives a dozen system calls. Once, after `hold`."""
        try:
            if self._events.reads and self.raw.opening is None:
                self.on_readable()
        finally:
            self._events.is_held = False
            self._events.update()

    def hold(self) -> None:
        """Have the loop watch nothing yet: first_read() is called soon."""
        self._events.is_held = True

    def resume(self) -> None:
        """Read from now on, if there can be anything to read."""
        if not self._events.reads and not self.gone and not self.at_end:
            self._events.watch(True, self._events.writes)

    def pause(self) -> None:
        """Read no more; what the client sends waits in the kernel, and then with the client."""
        if self._events.reads:
            self._events.watch(False, self._events.writes)

    def on_readable(self) -> None:
        raw = self.raw
        try:
            if (opening := raw.opening) is not None:
                if not raw.open():
                    self._events.update()
                    self.owner.stalled()
                    return
                if opening.is_http2:
                    self.owner.received(b"")
            data = raw.recv(RECEIVE) if self._recv is None else self._recv(RECEIVE)
        except BlockingIOError:
            self._events.update()
            self.owner.stalled()
            return
        except ProtocolError as error:
            self.owner.refuse(error)
            return
        except OSError:
            self._lose()
            return
        if data:
            self.owner.received(data)
            # Who has something to send learns from that.
            if self.turn.reports_once and not self._queue and not self.gone and raw.is_broken():
                self._lose()
        else:
            self.pause()  # an end is readable for ever
            self.at_end = True
            self.owner.ended()

    def has_input(self) -> bool:
        """Whether something is there to be read that was not reported yet."""
        try:
            return bool(self.raw.peek(1))
        except OSError:
            return False

    # ---- out

    def invite(self) -> None:
        self.write(CONTINUE)

    def inform(self, headers: list[tuple[str, str]]) -> None:
        self.write(early_hints(headers))

    @property
    def waiting(self) -> int:
        """How many bytes the client has not taken yet."""
        return self.write_buffer.size if self.write_buffer is not None else 0

    def write(self, data: bytes) -> None:
        """Send, as soon as the socket takes it. Never fails: see `gone`."""
        if self.gone or not data:
            return
        if self.write_buffer is not None or self.pace is not None:
            self.flush()
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
            sent = self.raw.send(data) if self._send is None else self._send(data)
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
        self._size = 0
        if self.gone:
            return
        if self.write_buffer is not None or self.pace is not None or isinstance(part, FilePart):
            self._put(*(piece for piece in (before, part, after) if piece))
            return
        try:
            sent = self.raw.sendmsg((before, part, after), False)
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
        write_buffer = self.write_buffer or WriteBuffer(self.raw, self.turn.bounds, self.pace)
        try:
            if write_buffer.put(*parts):
                self.write_buffer = write_buffer
                self._await_room(write_buffer)
        except ClientGone:
            self._lose()

    def _await_room(self, write_buffer: WriteBuffer) -> None:
        """Have on_writable() called when more can be sent, or may be."""
        if write_buffer.is_ahead:
            self.turn.loop.call_later(STEP, self.on_writable)
        self._events.watch(self._events.reads, not write_buffer.is_ahead)

    def on_writable(self) -> None:
        write_buffer = self.write_buffer
        if write_buffer is None:  # closed since
            return
        try:
            empty = write_buffer.flush()
        except ClientGone:
            self._lose()
            return
        if empty:
            self.write_buffer = None
            self._events.watch(self._events.reads, False)
        else:
            self._await_room(write_buffer)
        if empty or write_buffer.size <= self.turn.limit // 2:
            self._wake()
        self.owner.progressed()

    async def room(self) -> None:
        """Wait while too much waits for the client."""
        if self.waiting > self.turn.limit:
            await self._waiting_room().wait()

    async def flushed(self) -> None:
        """Wait until the client has taken everything, or is gone."""
        while self.write_buffer is not None and not self.gone:
            await self._waiting_room().wait()

    def _waiting_room(self) -> Waiters:
        if self._waiters is None:
            self._waiters = Waiters(self.turn.loop)
        return self._waiters

    def _wake(self) -> None:
        if self._waiters is not None:
            self._waiters.wake()

    # ---- the end

    def end_output(self) -> None:
        """Tell the client that nothing more comes."""
        self.flush()
        with suppress(OSError):
            self.raw.shutdown(SHUT_WR)

    def _lose(self) -> None:
        self.close()
        self.owner.lost()

    def close(self, *, reset: bool = False) -> None:
        """Close; `reset` so that the client cannot take it for a proper end."""
        self.flush()
        if self.gone:
            return
        if reset:
            self.raw.reset()
        self.gone = True
        self.write_buffer = None
        self._events.watch(False, False)
        self.raw.close()
        self._wake()
