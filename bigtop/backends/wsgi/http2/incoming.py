# Incoming body of a stream of HTTP/2 that its application wants as it comes (--stream-bodies): the leader
# brings the pieces, the call waits for them.
#
# Rule: what one side adds the other takes, from the two ends of a deque; so there is no lock.

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from bigtop.backends.native.transport.transport import READABLE
from bigtop.backends.native.transport.write_buffer import ClientGone, Pause
from bigtop.backends.wsgi.http2.signal import Signal
from bigtop.errors import ProtocolError
from bigtop.http.messages import Request


class Incoming(Protocol):
    """Who takes a body as it comes, for an answer on the same stream."""

    def add(self, piece: bytes) -> None:
        """A piece came."""

    def end(self) -> None:
        """That was all."""

    def lose(self, error: ProtocolError | None) -> None:
        """No more comes: for what the client did wrong, None where it has left."""

    def room(self) -> None:
        """The client has taken something of the answer."""


class IncomingBody:
    """Pieces on their way; `signal` is given with each.

    Who reads calls `invite` to let the client send, `waits` before it waits, and `took` with the number of
    bytes that need no more room.
    """

    def __init__(self, invite: Callable[[], None], took: Callable[[int], None], signal: Signal) -> None:
        self._invite = invite
        self._took = took
        self.waits: Callable[[], None] = lambda: None
        self._signal = signal
        self._pieces: deque[bytes] = deque()
        self._ended = False
        self._lost = False
        self._error: ProtocolError | None = None

    # ---- the leader

    def add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._signal.give()

    def end(self) -> None:
        self._ended = True
        self._signal.give()

    def lose(self, error: ProtocolError | None) -> None:
        """No more comes: for what the client did wrong, None where it has left."""
        self._error = error
        self._lost = True
        self._signal.give()

    def room(self) -> None:
        pass  # who waits for that, waits for the write buffer

    # ---- the call

    def next_piece(self, request: Request, wait: Pause) -> bytes:
        """Wait for more; b"" at the end. Raises ClientGone, and ProtocolError when the client broke HTTP."""
        while not self._pieces:
            try:
                fd = self._signal.expect()
            except OSError as error:
                raise ClientGone from error
            ended = self._ended  # before the pieces: none comes behind that
            if self._pieces:
                break
            if ended:
                return b""
            if self._error is not None:
                raise self._error
            if self._lost:
                raise ClientGone
            if request.expects_continue:
                request.expects_continue = False
                self._invite()
            self.waits()
            if not wait(fd, READABLE):
                raise ClientGone
        piece = self._pieces.popleft()
        self._took(len(piece))
        return piece
