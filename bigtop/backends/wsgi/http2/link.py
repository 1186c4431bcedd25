# Link to whoever is to have the answers on the streams of a connection, for all threads that have a part in
# that: the leader, and those that run calls. Two kinds: a client that speaks HTTP/2 (client_link.py), and a
# worker that has such a client (delegation/sibling_link.py).
#
# Rule 1: whoever touches the transport, or what is spoken on it, has the lock. It is held for operations that
# do not wait, never while code of an application runs, and nobody takes another lock with it (that of a write
# buffer comes before).
# Rule 2: the leader alone reads. Whoever has written also sends, as much as the other side takes at once;
# `is_blocked` tells that the rest is for the leader.

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

from bigtop.backends.native.transport.transport import Bytes, Transport
from bigtop.http.engine import IDLE, Phase
from bigtop.http.h2.error_codes import Http2Error
from bigtop.http.h2.events import StreamEvent

MOST: Final = 65536  # bytes that are framed, or read of a file, at once
# Bytes of an answer that wait here whatever the windows say, so that small answers are done with then.
SMALL: Final = 16384


class Link:
    """One side's. What is said of a stream that is gone is dropped; with the link gone it is ClientGone. What
    stands here is enough where nothing but answers is said."""

    __slots__ = ("_lock", "_transport", "_unsent", "came", "is_blocked", "is_gone", "sent")

    def __init__(self, transport: Transport) -> None:
        self._lock = threading.Lock()
        self._transport = transport
        self._unsent = b""  # frames that the socket has not taken
        self.came = 0  # bytes that the last receive() read
        self.sent = 0  # bytes in all
        self.is_blocked = False  # there is more to be sent than the socket, or one turn, takes
        self.is_gone = False  # nothing more is received or sent

    # ---- the leader

    def receive(self, now: int) -> list[StreamEvent]:
        """Go on with what was read, or read once. Raises ClientGone at the end."""
        raise NotImplementedError

    def expire(self, now: int) -> list[StreamEvent]:
        """Do what is due by the clock."""
        return []

    def drain(self, now: int) -> None:
        """Want no more requests."""

    def taken(self, stream: int, size: int) -> None:
        """So much of a body needs no more room."""

    def consumed(self, stream: int, size: int) -> None:
        """The same from the thread of a call: the client is told at once."""

    def reset(self, stream: int, code: int) -> None:
        """End a stream in the middle of its answer."""
        raise NotImplementedError

    def release(self, stream: int) -> None:
        """The call is over."""
        raise NotImplementedError

    @property
    def phase(self) -> Phase:
        return IDLE

    @property
    def has_more(self) -> bool:
        """Whether something was read that was not looked at."""
        return False

    @property
    def error(self) -> Http2Error | None:
        return None

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be said, when all is sent."""
        raise NotImplementedError

    @property
    def is_choked(self) -> bool:
        """Whether nothing is to be read before more is sent."""
        return False

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
        raise NotImplementedError

    def put(self, stream: int, block: bytes, data: bytes, *, ends: bool, sends: bool) -> int:
        """Take over the head of an answer, b"" if that is out, and as much of a piece of its body as may wait
        here; return how much. The answer `ends` with that piece. Unless it `sends` this is for flush()."""
        raise NotImplementedError

    def send(self, stream: int, pieces: Sequence[Bytes]) -> int:
        """Take over what may go out now of pieces of a body; return how much that is. BlockingIOError:
        nothing may; any other OSError: the link is gone."""
        raise NotImplementedError

    def send_file(self, stream: int, fd: int, offset: int, count: int) -> int:
        """The same for a part of a file; 0 at its end."""
        raise NotImplementedError

    # ---- with the lock held

    def _flush(self) -> bool:
        raise NotImplementedError
