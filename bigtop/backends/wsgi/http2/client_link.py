# Link to a client that speaks HTTP/2: its transport, and the state of what is spoken on it.

from __future__ import annotations

import os
from collections.abc import Sequence

from bigtop.backends.native.app_queues import READ
from bigtop.backends.native.transport.transport import Bytes, Transport
from bigtop.backends.native.transport.write_buffer import BUDGET, ClientGone
from bigtop.backends.wsgi.http2.link import MOST, SMALL, Link
from bigtop.http.engine import Phase
from bigtop.http.h2.connection import Http2Connection
from bigtop.http.h2.error_codes import Http2Error
from bigtop.http.h2.events import StreamEvent
from bigtop.http.h2.limits import FRAMES_AT_ONCE


class Http2Link(Link):
    """One client's. What is said of a stream that is gone is dropped; with the link gone it is ClientGone."""

    __slots__ = ("_http2",)

    def __init__(self, transport: Transport, http2: Http2Connection) -> None:
        Link.__init__(self, transport)
        self._http2 = http2

    # ---- the leader

    def receive(self, now: int) -> list[StreamEvent]:
        with self._lock:
            if self._http2.has_more:
                self.came = 0
                return self._http2.feed(b"", now, FRAMES_AT_ONCE)
            try:
                data = self._transport.recv(READ)
            except BlockingIOError:
                self.came = 0
                return []
            except OSError as error:
                raise ClientGone from error
            if not data:
                raise ClientGone
            self.came = len(data)
            return self._http2.feed(data, now, FRAMES_AT_ONCE)

    def expire(self, now: int) -> list[StreamEvent]:
        with self._lock:
            return self._http2.expire(now)

    def drain(self, now: int) -> None:
        with self._lock:
            self._http2.drain(now)

    def taken(self, stream: int, size: int) -> None:
        with self._lock:
            self._http2.taken(stream, size)

    def consumed(self, stream: int, size: int) -> None:
        with self._lock:
            self._http2.taken(stream, size)
            self._flush()

    def reset(self, stream: int, code: int) -> None:
        with self._lock:
            self._http2.reset(stream, code)

    def release(self, stream: int) -> None:
        with self._lock:
            self._http2.release(stream)

    @property
    def phase(self) -> Phase:
        with self._lock:
            return self._http2.phase

    @property
    def has_more(self) -> bool:
        return self._http2.has_more

    @property
    def error(self) -> Http2Error | None:
        return self._http2.error

    @property
    def is_over(self) -> bool:
        with self._lock:
            return self._http2.is_over

    @property
    def is_choked(self) -> bool:
        with self._lock:
            return self._http2.is_choked

    # ---- any thread

    def relay(self, stream: int, block: bytes, data: bytes, *, ends: bool) -> None:
        """Take over what another worker answers: the head, b"" if that is out, and all of a piece of the
        body, for flush(). Who does this looks how much is waiting()."""
        with self._lock:
            if self.is_gone:
                raise ClientGone
            if block:
                self._http2.head(stream, block, ends=ends and not data)
            if data or (ends and not block):
                self._http2.write(stream, data, ends=ends)

    def waiting(self, stream: int) -> int:
        """Return how many bytes of an answer wait here."""
        with self._lock:
            return self._http2.waiting(stream)

    def interim(self, stream: int, block: bytes) -> None:
        with self._lock:
            if self.is_gone:
                raise ClientGone
            self._http2.interim(stream, block)
            self._flush()

    def put(self, stream: int, block: bytes, data: bytes, *, ends: bool, sends: bool) -> int:
        with self._lock:
            if self.is_gone:
                raise ClientGone
            http2, size = self._http2, len(data)
            if size + http2.waiting(stream) > SMALL and (room := self._room(stream)) < size:
                data, size, ends = data[:room], room, False
            if block:
                http2.head(stream, block, ends=ends and not size)
            if size or (ends and not block):
                http2.write(stream, data, ends=ends)
            if sends:
                self._flush()
            return size

    def send(self, stream: int, pieces: Sequence[Bytes]) -> int:
        with self._lock:
            left = size = self._room(stream)
            if not size:
                raise BlockingIOError
            for piece in pieces:
                part = bytes(piece[:left])
                self._http2.write(stream, part)
                left -= len(part)
                if not left:
                    break
            self._flush()
            return size - left

    def send_file(self, stream: int, fd: int, offset: int, count: int) -> int:
        with self._lock:
            size = self._room(stream)
            if not size:
                raise BlockingIOError
            data = os.pread(fd, min(size, count), offset)
            if data:
                self._http2.write(stream, data)
                self._flush()
            return len(data)

    # ---- with the lock held

    def _room(self, stream: int) -> int:
        if self.is_gone:
            raise BrokenPipeError
        return 0 if self._unsent else min(MOST, self._http2.room(stream))

    def _flush(self) -> bool:
        if self.is_gone:
            return True
        budget = BUDGET
        try:
            while True:
                if not self._unsent:
                    if budget <= 0 or not (data := self._http2.output(MOST)):
                        break
                    self._unsent = data
                    budget -= len(data)
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
        self.is_blocked = budget <= 0
        return not self.is_blocked
