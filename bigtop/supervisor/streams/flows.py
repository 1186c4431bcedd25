# Descriptors that are written without waiting for whoever reads.
#
# Rules: writer thread only. What is not taken is kept as the rest, until the descriptor can be written again.
# Regular files are never in that state: a write waits for the disk. An OSError loses what was to be written.

from __future__ import annotations

import os
import socket
import stat
from collections import deque
from collections.abc import Iterable
from typing import Protocol


class Flow(Protocol):
    def fileno(self) -> int: ...

    @property
    def lines_left(self) -> int:
        """How many lines are not taken yet."""

    @property
    def is_stuck(self) -> bool:
        """Whether anything is not."""

    def flush(self) -> None:
        """Go on with the rest."""


class Bytes:
    """A file, a pipe, a terminal or a stream socket, opened by safeopen. Owns its descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._rest = b""
        is_socket = stat.S_ISSOCK(os.fstat(fd).st_mode)
        self._socket = socket.socket(fileno=fd) if is_socket else None

    def fileno(self) -> int:
        return self._fd

    @property
    def lines_left(self) -> int:
        return self._rest.count(b"\n")

    @property
    def is_stuck(self) -> bool:
        return bool(self._rest)

    def flush(self) -> None:
        self.write(b"")

    def write(self, data: bytes) -> None:
        view = memoryview(self._rest + data if self._rest else data)
        self._rest = b""
        try:
            while view:
                view = view[self._write(view) :]
        except BlockingIOError:
            self._rest = bytes(view)

    def _write(self, view: memoryview) -> int:
        if self._socket is not None:
            return self._socket.send(view, socket.MSG_DONTWAIT)
        return os.write(self._fd, view)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        else:
            os.close(self._fd)


class Datagrams:
    """A datagram socket that is connected, so that its readiness tells of the other end."""

    def __init__(self, address: str | tuple[str, int]) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._rest: deque[bytes] = deque()
        try:
            self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise
        self._socket.setblocking(False)

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def lines_left(self) -> int:
        return len(self._rest)

    @property
    def is_stuck(self) -> bool:
        return bool(self._rest)

    def flush(self) -> None:
        self.send(())

    def send(self, datagrams: Iterable[bytes]) -> None:
        self._rest.extend(datagrams)
        try:
            while self._rest:
                self._socket.send(self._rest[0])
                self._rest.popleft()
        except BlockingIOError:
            return
        except OSError:
            self._rest.clear()
            raise

    def close(self) -> None:
        self._socket.close()
