# Timeouts in an event loop: one timer of the loop for all clocks of a worker.

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic_ns

from bigtop.backends.native.timeouts import NEVER, SECOND, C, Timeouts, Wait
from bigtop.http.limits import Limits


class Timers(Timeouts[C]):
    """Calls `late` for each connection whose clock runs out."""

    __slots__ = ("_late", "_loop", "_timer")

    def __init__(
        self, limits: Limits, loop: asyncio.AbstractEventLoop, late: Callable[[C, Wait], None]
    ) -> None:
        super().__init__(limits)
        self._loop = loop
        self._late = late
        self._timer: asyncio.TimerHandle | None = None

    def wake(self, at: int) -> None:
        super().wake(at)
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later((self.soonest - monotonic_ns()) / SECOND, self._ring)

    def _ring(self) -> None:
        self._timer = None
        # Loops round their timers, some down; and one that is a little early would ring in vain.
        for connection, wait in list(self.expired(monotonic_ns() + SECOND // 500)):
            self._late(connection, wait)
        if self.soonest != NEVER:
            self._set_timer()
