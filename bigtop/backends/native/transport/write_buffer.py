# Write buffer of one connection: what the client has not taken yet, in memory and then on disk.
#
# Rule 1: bytes leave in the order in which they came, whoever sends them: the thread of the application call
# while nothing waits, the leader afterwards. The lock is held for system calls that do not block, and for
# copies into the page cache.
# Rule 2: memory and disk are bounded by making the producer wait (wait_for_room), never by dropping anything.
# A client's slowness is first paid for in memory, then on disk, and only then with an application slot.
#
# Most responses go out in one send() and never make a write buffer.

from __future__ import annotations

import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from time import monotonic_ns
from typing import IO, Final, NamedTuple, Protocol

from bigtop.backends.native.timeouts import Wait
from bigtop.backends.native.transport.pace import STEP, Pace
from bigtop.backends.native.transport.transport import Bytes
from bigtop.http.handlers import FilePart
from bigtop.log import logger as get_logger

log = get_logger("bigtop.backend")

PIECES_PER_SEND: Final = 64  # far below IOV_MAX (1024); more of them gain nothing
LARGE: Final = 32768  # bytes of a body from which on a copy costs more than what it takes to do without
BUDGET: Final = 1 << 20  # bytes per turn, so that one fast reader does not keep the leader


class ClientGone(Exception):  # noqa: N818 - no error, but how connections end
    """Nothing can be sent to this client any more."""


class Outlet(Protocol):
    """Where the bytes go: a transport, or a stream of one. OSError says what it says of a transport."""

    write_event: int

    def fileno(self) -> int:
        """Return the descriptor at which `write_event` tells that more can be sent."""

    def sendmsg(self, pieces: Sequence[Bytes], more: bool) -> int:
        """Send `pieces` in one go; `more` follows at once."""

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        """Send a part of a file; 0 at its end."""


# Waits until an event of poll(2) is reported for a descriptor; False when that took too long.
Pause = Callable[[int, int], bool]


class Bounds(NamedTuple):
    """How much may wait for one client, and where."""

    memory: int
    file: int  # bytes of a temporary file; 0: none
    directory: str | None  # of that file
    # For a producer that has to send by itself, because nobody else does while it waits. None: the leader
    # sends.
    wait: Pause | None = None


class WriteBuffer:
    """The waiting output of one connection."""

    __slots__ = (
        "_bounds", "_changed", "_held", "_parts", "_spool", "_spooled", "_transport", "_written",
        "began", "gone", "is_ahead", "pace", "size", "taken",
    )  # fmt: skip

    def __init__(self, transport: Outlet, bounds: Bounds, pace: Pace | None = None) -> None:
        self._transport = transport
        self._bounds = bounds
        self.pace = pace  # None: as fast as the client takes it
        self.is_ahead = False  # of that: nothing may go out before the next step
        self._parts: deque[memoryview | FilePart] = deque()
        self._changed = threading.Condition(threading.Lock())
        self._spool: IO[bytes] | None = None
        self._written = 0  # the end of what is in the temporary file
        self._spooled = 0  # of these, the bytes that wait
        self._held = 0  # bytes that wait in memory
        self.gone = False
        self.size = 0  # bytes that wait
        # Since when it waits without a pause, and how much the client has taken since.
        self.began = 0
        self.taken = 0

    # ---- the thread of the application call

    def put(self, *parts: bytes | memoryview | FilePart) -> bool:
        """Send what the socket takes, keep the rest; True when the leader has to begin with it.

        Raises ClientGone.
        """
        with self._changed:
            if self.gone:
                raise ClientGone
            idle = not self._parts
            for part in parts:
                if isinstance(part, FilePart):
                    self._parts.append(part)
                    self.size += part.count
                elif part:
                    self._parts.append(memoryview(part))
                    self._held += len(part)
                    self.size += len(part)
            if idle:
                self.began, self.taken = monotonic_ns(), 0
                self._send()
            if self._held > self._bounds.memory:
                self._spill()
            return idle and bool(self._parts)

    def is_full(self) -> bool:
        return self._held > self._bounds.memory

    def wait_for_room(self) -> None:
        """Wait until half of the memory is free; ClientGone when it never will be. Never the leader, unless
        there is nobody else."""
        wait = self._bounds.wait
        while not self._has_room(sends=wait is not None):
            # Without the lock: who waits in a greenlet lets the leader run, which takes it.
            if wait is not None and self.is_ahead:
                time.sleep(STEP)  # by its module's name: gevent has its own there
                continue
            if wait is not None and not wait(self._transport.fileno(), self._transport.write_event):
                raise ClientGone

    def _has_room(self, sends: bool) -> bool:
        """Send, or wait until somebody did; whether half of the memory is free. Raises ClientGone."""
        with self._changed:
            if sends:
                self._send()
            elif self._held > self._bounds.memory // 2 and not self.gone:
                self._changed.wait()
            if self.gone:
                raise ClientGone
            return self._held <= self._bounds.memory // 2

    # ---- the leader

    def flush(self) -> bool:
        """Send what the socket takes; True when nothing is left. Raises ClientGone."""
        with self._changed:
            self._send()
            if self._held <= self._bounds.memory // 2:
                self._changed.notify()
            return not self._parts

    def is_too_slow(self, wait: Wait, now: int) -> bool:
        """Whether the client takes less than it has to; not of an answer that is slowed down."""
        return self.pace is None and wait.is_too_slow(self.taken, self.began, now)

    def abandon(self) -> None:
        """Drop everything and tell the producer."""
        with self._changed:
            self.gone = True
            self._parts.clear()
            self.size = self._held = 0
            self._changed.notify()

    def close(self) -> None:
        """Give the temporary file back; nothing waits any more."""
        if self._spool is not None:
            self._spool.close()

    # ---- with the lock held

    def _send(self) -> None:
        pace = self.pace
        room = BUDGET if pace is None else pace.room(monotonic_ns())
        budget = min(BUDGET, room)
        try:
            while self._parts and budget > 0:
                first = self._parts[0]
                if isinstance(first, FilePart):
                    sent = self._send_file(first, budget)
                else:
                    sent = self._send_memory(budget if pace is not None else self._held)
                self.size -= sent
                self.taken += sent
                budget -= sent
                if pace is not None:
                    pace.sent(sent)
        except BlockingIOError:
            pass
        except OSError as error:
            raise ClientGone from error
        finally:
            self.is_ahead = pace is not None and budget <= 0 and room <= BUDGET

    def _send_memory(self, most: int) -> int:
        parts = self._parts
        pieces: list[memoryview] = []
        more = False
        for part in islice(parts, PIECES_PER_SEND):
            if isinstance(part, FilePart):
                more = True  # a head and the file that follows share a packet
                break
            pieces.append(part[:most])
            most -= len(pieces[-1])
            if most <= 0:
                break
        sent = left = self._transport.sendmsg(pieces, more)
        self._held -= sent
        while left:
            piece = parts[0]
            assert isinstance(piece, memoryview), "it was sent"
            if left < len(piece):
                parts[0] = piece[left:]
                break
            left -= len(piece)
            parts.popleft()
        return sent

    def _send_file(self, part: FilePart, most: int) -> int:
        sent = self._transport.sendfile(part.fd, part.offset, min(part.count, most))
        if not sent:
            # The file became shorter than the head promised: what is missing cannot be invented.
            raise BrokenPipeError("the file shrank while it was sent")
        part.offset += sent
        part.count -= sent
        if not part.count:
            self._parts.popleft()
        if self._spool is not None and part.fd == self._spool.fileno():
            self._spooled -= sent
            if not self._spooled:  # begin again at the front, so that the file never grows beyond its bound
                self._written = 0
                self._spool.truncate(0)
        return sent

    def _spill(self) -> None:
        """Move the end of what waits from memory into the temporary file, if that has room."""
        if self._written + self._held > self._bounds.file:
            return
        pieces: deque[memoryview] = deque()
        while self._parts and not isinstance(last := self._parts[-1], FilePart):
            pieces.appendleft(last)
            self._parts.pop()
        size = sum(map(len, pieces))
        try:
            if self._spool is None:
                from tempfile import TemporaryFile  # here: most workers never need it

                self._spool = TemporaryFile(buffering=0, dir=self._bounds.directory)  # noqa: SIM115
            self._spool.seek(self._written)
            for piece in pieces:
                _write(self._spool, piece)
        except OSError as error:
            # A full disk is no reason to break an answer: it waits in memory, and the application with it.
            log.error("cannot store a response: %s", error)
            self._bounds = self._bounds._replace(file=0)
            self._parts += pieces
            return
        self._parts.append(FilePart(self._spool.fileno(), self._written, size))
        self._written += size
        self._spooled += size
        self._held -= size


def patient(seconds: float) -> Pause:
    """Return what blocks the thread until an event comes, for so many seconds at most; 0: for ever."""

    def wait(fd: int, event: int) -> bool:
        poll = select.poll()
        poll.register(fd, event)
        return bool(poll.poll(seconds * 1000 if seconds else None))

    return wait


def _write(file: IO[bytes], piece: memoryview) -> None:
    while piece:
        piece = piece[file.write(piece) :]
