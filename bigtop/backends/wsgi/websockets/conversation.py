# Conversation by WebSocket that an application has by itself, as far as it concerns the server.
#
# What is sent stays in one piece, and the conversation ends when the client does not take it.
#
# Rule 1: pieces are sent one after the other, whatever thread or greenlet they come from. So our goodbye
# stands between two of them.
# Rule 2: a client that takes nothing for --send-timeout, or less than --min-send-rate, is given up, as one
# that does not take an answer. One that has ended its side cannot go on with a WebSocket: it is given up when
# it takes nothing for a second. Who reads from a client that was given up finds its end.
# Rule 3: it is no error of the application's when its client leaves. `lost` is what it was told then.

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from time import monotonic_ns
from types import TracebackType
from typing import Any, Final

from bigtop.backends.native.timeouts import LOOK, NEVER, SECOND, Wait
from bigtop.backends.native.transport.hangup import Hangup
from bigtop.backends.native.transport.transport import Transport
from bigtop.backends.native.transport.write_buffer import Pause
from bigtop.backends.wsgi.call import Call
from bigtop.backends.wsgi.websockets.relay import Relay
from bigtop.http.close_codes import SERVICE_RESTART
from bigtop.log import logger as get_logger

log = get_logger("bigtop.wsgi")

GOODBYE: Final = b"\x88\x02" + SERVICE_RESTART.to_bytes(2, "big")  # a whole frame (RFC 6455, 5.5.1)
LEFT: Final = frozenset(
    (errno.EPIPE, errno.ECONNRESET, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH)
)


class Conversation:
    """One WebSocket. `lock` is for whoever sends, `patient` is as in write_buffer.py.

    As a context: an operation on the client's socket, of which the errors are looked at.
    """

    def __init__(
        self,
        call: Call,
        client: Transport | Relay,
        lock: Any,
        patient: Callable[[float], Pause],
        pace: Wait,
    ) -> None:
        self.spoken = False  # something was sent
        self.lost: OSError | None = None  # the client has left, or was given up
        self.has_ended = False  # its end was read
        self._call = call
        self._client = client
        self._sending = lock
        self._patient = patient
        self._pace = pace
        self._parting = False
        self._began = 0  # since when it has not taken all that there was; 0: it has
        self._taken = 0  # bytes since then
        self._silent: tuple[int, Hangup] | None = None  # since when it takes nothing

    # ---- the application

    def send(self, data: memoryview, timeout: float | None, check: Callable[[], None]) -> int:
        """Send `data`; return how many bytes that were: all, unless the application set itself a `timeout` in
        seconds (0: it does not wait). `check` raises when it has closed its socket."""
        until = None if timeout is None else monotonic_ns() + int(timeout * SECOND)
        sent = 0
        with self._sending:
            if not self.spoken:
                self.spoken = True
                # From here on it is a stream, and how long that lasts is no concern of --timeout.
                self._call.is_waiting()
            while sent < len(data):
                check()
                try:
                    sent += self._send(data[sent:])
                except BlockingIOError:
                    if not self._await_room(until):
                        if sent:
                            break
                        if timeout:
                            raise TimeoutError("timed out") from None
                        raise
        if self._parting:
            self._part()
        return sent

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError) and error.errno in LEFT and self.lost is None:
            self.lost = error
            log.debug("%s: the client has left", self._name)

    # ---- the server

    def explains(self, error: BaseException) -> bool:
        """Whether `error` says of the client that it has left.

        Each thread that uses the socket may be told in its own way; to one it is a socket that another one
        has closed when it had read the end.
        """
        if not (self.has_ended or self.lost) or not isinstance(error, OSError):
            return False
        return error is self.lost or error.errno in LEFT or error.errno == errno.EBADF

    def part(self) -> None:
        """Say goodbye and show the end, now or behind what is being sent. Never waits."""
        self._parting = True
        self._part()

    def forget(self) -> None:
        """The call is over."""
        self.lost = None  # it may hold the frames that it went through, and those hold it

    # ---- who has the lock

    def _send(self, data: memoryview) -> int:
        if self.lost is not None:
            raise self.lost.with_traceback(None)
        with self:
            sent = self._client.send_beside(data)
        self._silent = None
        if self._began:
            self._taken += sent
            if sent == len(data):
                self._began = 0
            elif self._pace.is_too_slow(self._taken, self._began, monotonic_ns()):
                self._give_up("takes too little")
        return sent

    def _await_room(self, until: int | None) -> bool:
        """Wait for a moment, or until the client takes more; False when it is `until` already."""
        now, limit = monotonic_ns(), self._pace.length
        if not self._began:
            self._began, self._taken = now, 0
        if self._silent is None:
            self._silent = now, Hangup(self._client)
        since, hangup = self._silent
        if limit and now - since >= limit:
            self._give_up(f"has taken nothing for {limit / SECOND:g} s")
        if hangup.is_certain(now):
            self._give_up("has ended its side, and takes nothing")
        if until is not None and now >= until:
            return False
        end = min(now + int(LOOK * SECOND), until or NEVER, since + limit if limit else NEVER)
        self._patient((end - now) / SECOND)(self._client.fileno(), self._client.write_event)
        return True

    def _give_up(self, why: str) -> None:
        log.info("%s: the client %s: it is given up", self._name, why)
        # Before the shutdown, which wakes a thread that reads: what it raises then is no error.
        self.lost = BrokenPipeError(errno.EPIPE, f"the client {why}")  # which libraries expect
        with suppress(OSError):
            self._client.shutdown(socket.SHUT_RDWR)
        raise self.lost

    # ---- anybody

    def _part(self) -> None:
        # Who sends looks for `_parting` when it has let go of the lock, so one of the two gets here; or both.
        # Not through the application's socket: a library may have closed it by now.
        if self._sending.acquire(blocking=False):
            try:
                if self._parting and self.spoken:
                    self._parting = False
                    self._client.send_beside(GOODBYE)
            except OSError:  # it may be gone, or take nothing
                pass
            finally:
                self._sending.release()
                with suppress(OSError):
                    self._client.shutdown(socket.SHUT_RD)

    @property
    def _name(self) -> str:
        request = self._call.request
        return f"{request.method} {request.target.decode('latin-1')}"
