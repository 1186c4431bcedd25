# Link to the worker that has the client of a request, for the one that runs its call: what a link to a client
# is, with the answer in frames of its own (http/delegation/answer_frames.py).
#
# Rule: the socket between both is all the window there is. The other worker reads on when its client has
# taken what it read.

from __future__ import annotations

import os
from collections.abc import Sequence

from bigtop.backends.native.transport.transport import Bytes, Transport
from bigtop.backends.native.transport.write_buffer import ClientGone
from bigtop.backends.wsgi.http2.link import MOST, SMALL, Link
from bigtop.http.delegation.answer_frames import BEGUN, DATA, HEAD, INTERIM, RESET, answer_frame
from bigtop.http.h2.events import StreamEvent


class SiblingLink(Link):
    """One request's, whatever the number of its stream."""

    __slots__ = ("_has_begun", "_is_released")

    def __init__(self, transport: Transport) -> None:
        Link.__init__(self, transport)
        self._has_begun = False
        self._is_released = False

    # ---- the leader

    def begin(self) -> None:
        """The application is called next: from here on nobody else may call it."""
        with self._lock:
            if not self._has_begun:
                self._has_begun = True
                self._unsent += answer_frame(BEGUN, b"")
                self._flush()

    def receive(self, now: int) -> list[StreamEvent]:
        try:
            self._transport.recv(SMALL)
        except BlockingIOError:
            return []
        except OSError as error:
            raise ClientGone from error
        raise ClientGone  # it says nothing but that nobody waits any more

    def reset(self, stream: int, code: int) -> None:
        with self._lock:
            if not self.is_gone:
                self._unsent += answer_frame(RESET, code.to_bytes(4, "big"))

    def release(self, stream: int) -> None:
        self._is_released = True

    @property
    def is_over(self) -> bool:
        return self._is_released

    # ---- any thread

    def interim(self, stream: int, block: bytes) -> None:
        with self._lock:
            if self.is_gone:
                raise ClientGone
            self._unsent += answer_frame(INTERIM, block)
            self._flush()

    def put(self, stream: int, block: bytes, data: bytes, *, ends: bool, sends: bool) -> int:
        with self._lock:
            if self.is_gone:
                raise ClientGone
            size = len(data)
            if len(self._unsent) + size > SMALL and (room := self._room()) < size:
                data, size, ends = data[:room], room, False
            if block:
                self._unsent += answer_frame(HEAD, block, ends=ends and not size)
            if size or (ends and not block):
                self._unsent += answer_frame(DATA, data, ends=ends)
            if sends:
                self._flush()
            return size

    def send(self, stream: int, pieces: Sequence[Bytes]) -> int:
        with self._lock:
            left = self._room()
            if not left:
                raise BlockingIOError
            parts: list[bytes] = []
            for piece in pieces:
                part = bytes(piece[:left])
                parts.append(part)
                left -= len(part)
                if not left:
                    break
            return self._send(b"".join(parts))

    def send_file(self, stream: int, fd: int, offset: int, count: int) -> int:
        with self._lock:
            size = self._room()
            if not size:
                raise BlockingIOError
            data = os.pread(fd, min(size, count), offset)
            return self._send(data) if data else 0

    # ---- with the lock held

    def _send(self, data: bytes) -> int:
        self._unsent += answer_frame(DATA, data)
        self._flush()
        return len(data)

    def _room(self) -> int:
        if self.is_gone:
            raise BrokenPipeError
        return 0 if self._unsent else MOST

    def _flush(self) -> bool:
        if self.is_gone:
            return True
        try:
            while self._unsent:
                sent = self._transport.send(self._unsent)
                self._unsent = self._unsent[sent:]
                self.sent += sent
        except BlockingIOError:
            self.is_blocked = True
            return False
        except OSError:  # the leader, which reads, finds out
            self.is_gone = True
            self.is_blocked = False
            return True
        self.is_blocked = False
        return True
