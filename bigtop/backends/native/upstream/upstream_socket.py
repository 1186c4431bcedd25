# Socket to an upstream: connecting, and bytes both ways, without waiting.
#
# Rule: nothing here fails because of the network but by OSError; BlockingIOError is never one of them.

from __future__ import annotations

import _socket
import errno
import os
import select
import socket
from collections import deque
from typing import Final

from bigtop.backends.native.upstream.reactor import Reactor

EPOLLIN: Final[int] = select.EPOLLIN
EPOLLOUT: Final[int] = select.EPOLLOUT
RECEIVE: Final = 65536  # bytes per recv(2)
_PENDING: Final = (0, errno.EINPROGRESS)

Address = tuple[int, object]  # family, and the address as the socket module has it


class UpstreamSocket:
    """One connection. `reads`: more of what comes is wanted. OSError: it cannot be made."""

    __slots__ = (
        "_interest",
        "_out",
        "_reactor",
        "_socket",
        "fd",
        "is_connecting",
        "is_deaf",
        "reads",
        "size",
    )

    def __init__(self, address: Address, reactor: Reactor) -> None:
        family, place = address
        kind = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = _socket.socket(family, kind)  # gevent has another one, which waits
        self.fd = self._socket.fileno()
        self._reactor = reactor
        self._interest = 0
        self._out: deque[memoryview] = deque()
        self.size = 0  # bytes that it has not taken yet
        self.is_connecting = True
        self.is_deaf = False  # it takes nothing any more, but may have answered
        self.reads = True
        try:
            if family != socket.AF_UNIX:
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            code = self._socket.connect_ex(place)  # type: ignore[arg-type]
            if code not in _PENDING:
                raise OSError(code, os.strerror(code))
        except OSError:
            self._socket.close()
            raise

    def open(self) -> bool:
        """Whether it is connected by now. OSError: it will not be."""
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        try:
            self._socket.getpeername()
        except OSError:  # an event that was meant for another one with this number
            return False
        self.is_connecting = False
        return True

    def send(self, data: bytes) -> None:
        """Send now, or keep for later."""
        if data and not self.is_deaf:
            self._out.append(memoryview(data))
            self.size += len(data)
            if len(self._out) == 1 and not self.is_connecting:
                self.flush()

    def flush(self) -> bool:
        """Send what it takes; whether that was something."""
        before = self.size
        try:
            while self._out:
                piece = self._out[0]
                sent = self._socket.send(piece)
                self.size -= sent
                if sent < len(piece):
                    self._out[0] = piece[sent:]
                    break
                self._out.popleft()
        except BlockingIOError:
            pass
        except OSError:
            # It may have answered first, and closed without reading all of the request.
            self.is_deaf = True
            self._out.clear()
            self.size = 0
        return self.size < before

    def recv(self) -> bytes | None:
        """Return what came, b"" at the end, None for nothing yet. OSError: it broke off."""
        try:
            return self._socket.recv(RECEIVE)
        except BlockingIOError:
            return None

    def is_silent(self) -> bool:
        """Whether an idle one is still open, and nothing came."""
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def watch(self) -> None:
        """Have reported what it waits for now."""
        if self.is_connecting:
            interest = EPOLLOUT
        else:
            interest = (EPOLLIN if self.reads else 0) | (EPOLLOUT if self._out else 0)
        if interest != self._interest:
            before, self._interest = self._interest, interest
            self._reactor.watch(self.fd, interest, before)

    def close(self) -> None:
        if self._interest:
            self._reactor.watch(self.fd, 0, self._interest)
            self._interest = 0
        self._socket.close()
