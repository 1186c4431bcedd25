# Link to a client that speaks HTTP/2: its transport, and the state of what is spoken on it, for all threads
# that have a part in that: the leader, and those that run calls.
#
# Rule 1: whoever touches either has the lock. It is held for operations that do not wait, never while code of
# an application runs, and nobody takes another lock with it (that of a write buffer comes before).
# Rule 2: the leader alone reads. Whoever has written also sends, as much as the client takes at once;
# `is_blocked` tells that the rest is for the leader.

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Final

from bigtop.backends.native.app_queues import READ
from bigtop.backends.native.transport.transport import Bytes, Transport
from bigtop.backends.native.transport.write_buffer import BUDGET, ClientGone
from bigtop.http.engine import Phase
from bigtop.http.h2.connection import Http2Connection
from bigtop.http.h2.error_codes import Http2Error
from bigtop.http.h2.events import StreamEvent
from bigtop.http.h2.limits import FRAMES_AT_ONCE

MOST: Final = 65536  # bytes that are framed, or read of a file, at once
# Bytes of an answer that wait here whatever the windows say, so that small answers are done with then.
SMALL: Final = 16384


class Http2Link:
    """One client's. What is said of a stream that is gone is dropped; with the link gone it is ClientGone."""

    __slots__ = ("_http2", "_lock", "_transport", "_unsent", "came", "is_blocked", "is_gone", "sent")

    def __init__(self, transport: Transport, http2: Http2Connection) -> None:
        self._lock = threading.Lock()
        self._transport = transport
        self._http2 = http2
        self._unsent = b""  # frames that the socket has not taken
        self.came = 0  # bytes that the last receive() read
        self.sent = 0  # bytes in all
        self.is_blocked = False  # there is more to be sent than the socket, or one turn, takes
        self.is_gone = False  # nothing more is received or sent

    # ---- the leader

    def receive(self, now: int) -> list[StreamEvent]:
        """Go on with what was read, or read once. Raises ClientGone at the end."""
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

    def feed(self, data: bytes, now: int) -> list[StreamEvent]:
        """Take what was read before it was known what the client speaks."""
        with self._lock:
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
        """The same from the thread of a call: the client is told at once."""
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
        """Whether something was read that was not looked at."""
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

    def give_up(self) -> None:
        """Neither receive nor send anything more."""
        with self._lock:
            self.is_gone = True
            self.is_blocked = False
            self._unsent = b""

    def close(self) -> None:
        with self._lock:
            self.is_gone = True
            self.is_blocked = False
            self._transport.close()

    # ---- any thread

    def flush(self) -> bool:
        """Send what the windows let out; whether that is all."""
        with self._lock:
            return self._flush()

    def interim(self, stream: int, block: bytes) -> None:
        """Send a head ahead of the answer's."""
        with self._lock:
            if self.is_gone:
                raise ClientGone
            self._http2.interim(stream, block)
            self._flush()

    def put(self, stream: int, block: bytes, data: bytes, *, ends: bool, sends: bool) -> int:
        """Take over the head of an answer, b"" if that is out, and as much of a piece of its body as may wait
        here; return how much. The answer `ends` with that piece. Unless it `sends` this is for flush()."""
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
        """Take over what may go out now of pieces of a body; return how much that is. BlockingIOError:
        nothing may; any other OSError: the link is gone."""
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
        """The same for a part of a file; 0 at its end."""
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
