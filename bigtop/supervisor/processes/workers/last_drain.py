# The last drain: how the workers of an application end when its sockets do.
#
# Why: the kernel resets the clients that wait at a listening socket when its last copy is closed. Only a
# worker can answer them. So everybody else who has a copy goes first, fork servers included, and workers are
# told after that: the last of them takes who waits, and closes.

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bigtop.supervisor.processes.workers.forkservers import ForkServers

_LONGEST = 1.0  # seconds until a killed fork server has ended; a kernel that takes longer is not waited for

Drain = Callable[[int, float, int | None], None]


class LastDrain:
    """Event loop only. `close` closes our copies; `drain` tells a worker: its key, seconds, a signal. Before
    it `is_time`, a drain is one as any other."""

    def __init__(
        self,
        servers: ForkServers,
        drain: Drain,
        close: Callable[[], None],
        is_time: Callable[[], bool] = lambda: True,
    ) -> None:
        self._servers = servers
        self._drain = drain
        self._close = close
        self._is_time = is_time
        self._waiting: list[tuple[int, float, int | None]] = []
        self._begun = self._over = False

    def takes(self, key: int, grace: float, signum: int | None) -> bool:
        """Whether a worker is told later, once it may be the last one who has the sockets."""
        if self._over or not self._is_time():
            return False
        self._waiting.append((key, grace, signum))
        self.begin()  # which may be all there is to it, and then that worker was told
        return True

    def begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._close()
            self._servers.discard_all()
            asyncio.get_running_loop().call_later(_LONGEST, self._go)
            self._servers.when_gone(self._go)

    def _go(self) -> None:
        self._over = True
        waiting, self._waiting = self._waiting, []
        for key, grace, signum in waiting:
            self._drain(key, grace, signum)
