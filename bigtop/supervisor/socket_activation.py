# A watcher that is started by the first connection to one of its sockets, and may stop when nobody calls.
#
# The sockets are watched by an epoll instance of our own, edge-triggered (epoll(7)), and that one by the
# event loop: it says once that somebody came, and not again and again until the new process has accepted.
# Every later connection is another edge, so it also tells when the last one came.

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import Callable, Iterable
from pathlib import Path

_ESTABLISHED_TCP = "01"  # enum in the kernel's tcp_states.h
_CONNECTED_UNIX = "03"  # SS_CONNECTED


class Demand:
    """Calls `on_need` when somebody connects, `on_idle` after `idle` seconds without anybody (0: never)."""

    def __init__(
        self, fds: Iterable[int], idle: float, on_need: Callable[[], None], on_idle: Callable[[], None]
    ) -> None:
        self._fds = tuple(fds)
        self._idle = idle
        self._on_need = on_need
        self._on_idle = on_idle
        self._running = False
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._epoll = select.epoll()
        for fd in self._fds:
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLET)
        asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._woken)

    def runs(self) -> None:
        """The processes are there already."""
        loop = asyncio.get_running_loop()
        self._running, self._last = True, loop.time()
        if self._idle:
            self._timer = loop.call_later(self._idle, self._look)

    def stopped(self) -> None:
        """The processes are gone: from now on a connection is a need again, also one that waits already."""
        self._running = False
        for fd in self._fds:
            self._epoll.modify(fd, select.EPOLLIN | select.EPOLLET)

    def close(self) -> None:
        if not self._epoll.closed:
            asyncio.get_running_loop().remove_reader(self._epoll.fileno())
            self._epoll.close()
        if self._timer is not None:
            self._timer.cancel()

    def _woken(self) -> None:
        self._epoll.poll(0)
        loop = asyncio.get_running_loop()
        self._last = loop.time()
        if not self._running:
            self.runs()
            self._on_need()

    def _look(self) -> None:
        if not self._running:
            return
        loop = asyncio.get_running_loop()
        quiet = loop.time() - self._last
        if quiet >= self._idle and not any(map(connections, self._fds)):
            self._on_idle()
        else:
            wait = self._idle - quiet if quiet < self._idle else self._idle
            self._timer = loop.call_later(max(wait, 0.05), self._look)


def connections(fd: int) -> int:
    """Return how many connections to the listening socket `fd` are open (proc(5), /proc/net)."""
    with socket.socket(fileno=os.dup(fd)) as listener:
        name = listener.getsockname()
    if isinstance(name, tuple):
        port = f":{name[1]:04X}"
        rows = _rows("tcp") + _rows("tcp6")
        return sum(row[3] == _ESTABLISHED_TCP and row[1].endswith(port) for row in rows)
    path = os.fsdecode(name).replace("\0", "@")  # of an abstract socket
    return sum(row[5] == _CONNECTED_UNIX and row[-1] == path for row in _rows("unix"))


def _rows(table: str) -> list[list[str]]:
    try:
        return [line.split(None, 7) for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    except OSError:  # no such family here
        return []
