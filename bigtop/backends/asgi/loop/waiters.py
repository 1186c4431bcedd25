# Tasks that wait until something changes, and then look again.
#
# Not asyncio.Event, which somebody has to clear, and not one Future for all: a task that is cancelled cancels
# the future it waits for.

from __future__ import annotations

import asyncio


class Waiters:
    __slots__ = ("_futures", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._futures: list[asyncio.Future[None]] = []

    @property
    def has_any(self) -> bool:
        return bool(self._futures)

    async def wait(self) -> None:
        """Return after the next wake()."""
        future = self._loop.create_future()
        self._futures.append(future)
        await future

    def wake(self) -> None:
        """Let all who wait look again."""
        if not self._futures:
            return
        futures, self._futures = self._futures, []
        for future in futures:
            if not future.done():
                future.set_result(None)
