# Body of a request whose application wants it as it comes (--stream-bodies), and waits for it in its own
# time: a large upload that goes straight to where it is kept, without a temporary file on the way.
#
# Rule: while a call has the connection, the loop reads nothing from it (event_loop.py). So the call may; it
# waits in its thread or greenlet, not in the leader's turn.

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from time import monotonic_ns

from bigtop.backends.native.timeouts import Wait
from bigtop.backends.native.transport.write_buffer import ClientGone, Pause
from bigtop.errors import ProtocolError
from bigtop.http.messages import Request
from bigtop.http.paths.path_patterns import is_like


class BodyLost(ClientGone, OSError):  # noqa: N818 - as ClientGone
    """The rest of a body will never come. Applications know OSError; what they let pass ends the call."""


class Streaming:
    """Which bodies are wanted as they come, and how to wait for them: `wait` until something came, False when
    that took too long; `pace` is for what comes too slowly on the whole."""

    def __init__(self, patterns: Sequence[str], wait: Pause, pace: Wait) -> None:
        self._patterns = patterns
        self.wait = wait
        self.pace = pace

    def wants(self, request: Request) -> bool:
        return is_like(request.target, self._patterns)


class BodyStream(io.RawIOBase):
    """What is left of the body of `request`, to be wrapped in a BufferedReader. Raises BodyLost.

    `next_piece` waits for more of it by the Pause that it is given, and returns b"" at the end.

    The connection ends behind the answer if the body was not read to its end before that began.
    """

    def __init__(
        self,
        next_piece: Callable[[Request, Pause], bytes | memoryview],
        request: Request,
        streaming: Streaming,
    ) -> None:
        self._next_piece = next_piece
        self._streaming = streaming
        self._request = request
        self._keep_alive, request.keep_alive = request.keep_alive, False
        self._piece = memoryview(b"")
        self._ended = False
        self._size = 0
        self._began = monotonic_ns()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._piece and not self._ended:
            self._receive()
        count = min(len(buffer), len(self._piece))
        buffer[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count

    def _receive(self) -> None:
        try:
            piece = self._next_piece(self._request, self._streaming.wait)
        except ProtocolError as error:
            raise BodyLost(str(error)) from error
        except ClientGone as error:
            raise BodyLost("the client left in the middle of the body") from error
        self._size += len(piece)
        if piece and self._streaming.pace.is_too_slow(self._size, self._began, monotonic_ns()):
            raise BodyLost("the body comes too slowly")
        if not piece:
            self._ended = True
            self._request.keep_alive = self._keep_alive
        self._piece = memoryview(piece)
