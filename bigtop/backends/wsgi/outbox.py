# What a client has not taken yet.
#
# Rule 1: bytes leave in the order in which they came, whoever sends them: the thread of the application call
# while nothing waits, the leader afterwards. The lock is held for non-blocking system calls only.
# Rule 2: memory is bounded by making the producer wait (wait_for_room), never by dropping anything.
#
# Most responses go out in one send() and never make an outbox.

from __future__ import annotations

import os
import socket
import threading
from collections import deque
from itertools import islice
from typing import Final

PIECES_PER_SEND: Final = 64  # far below IOV_MAX (1024); more of them gain nothing
BUDGET: Final = 1 << 20  # bytes per turn, so that one fast reader does not keep the leader


class ClientGone(Exception):  # noqa: N818 - no error, but how connections end
    """Nothing can be sent to this client any more."""


class FilePart:
    """`count` bytes of a file from `offset` on, for sendfile(2): they never pass through this process."""

    __slots__ = ("count", "fd", "offset")

    def __init__(self, fd: int, offset: int, count: int) -> None:
        self.fd = fd
        self.offset = offset
        self.count = count


class Outbox:
    """The waiting output of one connection."""

    __slots__ = ("_changed", "_limit", "_parts", "_socket", "gone", "size")

    def __init__(self, sock: socket.socket, limit: int) -> None:
        self._socket = sock
        self._limit = limit
        self._parts: deque[memoryview | FilePart] = deque()
        self._changed = threading.Condition(threading.Lock())
        self.gone = False
        self.size = 0  # bytes that wait

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
                    self.size += len(part)
            if idle:
                self._send()
            return idle and bool(self._parts)

    def is_full(self) -> bool:
        return self.size > self._limit

    def wait_for_room(self) -> None:
        """Wait until half of the limit is free; ClientGone when it never will be. Never the leader."""
        with self._changed:
            while self.size > self._limit // 2 and not self.gone:
                self._changed.wait()
            if self.gone:
                raise ClientGone

    # ---- the leader

    def flush(self) -> bool:
        """Send what the socket takes; True when nothing is left. Raises ClientGone."""
        with self._changed:
            self._send()
            if self.size <= self._limit // 2:
                self._changed.notify()
            return not self._parts

    def abandon(self) -> None:
        """Drop everything and tell the producer."""
        with self._changed:
            self.gone = True
            self._parts.clear()
            self.size = 0
            self._changed.notify()

    # ---- with the lock held

    def _send(self) -> None:
        try:
            budget = BUDGET
            while self._parts and budget > 0:
                first = self._parts[0]
                sent = self._send_file(first) if isinstance(first, FilePart) else self._send_memory()
                self.size -= sent
                budget -= sent
        except BlockingIOError:
            pass
        except OSError as error:
            raise ClientGone from error

    def _send_memory(self) -> int:
        parts = self._parts
        pieces: list[memoryview] = []
        flags = 0
        for part in islice(parts, PIECES_PER_SEND):
            if isinstance(part, FilePart):
                flags = socket.MSG_MORE  # a head and the file that follows share a packet
                break
            pieces.append(part)
        sent = left = self._socket.sendmsg(pieces, (), flags)
        while left:
            piece = pieces.pop(0)
            if left < len(piece):
                parts[0] = piece[left:]
                break
            left -= len(piece)
            parts.popleft()
        return sent

    def _send_file(self, part: FilePart) -> int:
        sent = os.sendfile(self._socket.fileno(), part.fd, part.offset, min(part.count, BUDGET))
        if not sent:
            # The file became shorter than the head promised: what is missing cannot be invented.
            raise BrokenPipeError("the file shrank while it was sent")
        part.offset += sent
        part.count -= sent
        if not part.count:
            self._parts.popleft()
        return sent
