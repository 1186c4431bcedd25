# A loop with tornado's words for plugins of Circus, on asyncio: tornado is needed only by who imports it.
#
# Rule: as with tornado, what a callback raises is logged, and the loop goes on.

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final

Callback = Callable[..., object]


class Loop:
    """What plugins know as tornado.ioloop.IOLoop."""

    NONE: Final = 0
    READ: Final = 0x001
    WRITE: Final = 0x004
    ERROR: Final = 0x018

    def __init__(self) -> None:
        self.asyncio_loop = asyncio.new_event_loop()
        self._waiting: set[asyncio.Future[object]] = set()

    def make_current(self) -> None:
        """Be the loop of this thread; who asks tornado for one gets one around ours."""
        asyncio.set_event_loop(self.asyncio_loop)

    def start(self) -> None:
        self.asyncio_loop.run_forever()

    def stop(self) -> None:
        if not self.asyncio_loop.is_closed():
            self.asyncio_loop.call_soon_threadsafe(self.asyncio_loop.stop)

    def close(self, all_fds: bool = False) -> None:
        self.asyncio_loop.close()

    def time(self) -> float:
        return time.time()

    # ---- what is to be called

    def add_callback(self, callback: Callback, *args: Any, **kwargs: Any) -> None:
        """From any thread."""
        self.asyncio_loop.call_soon_threadsafe(self._run, callback, args, kwargs)

    add_callback_from_signal = spawn_callback = add_callback

    def call_later(self, delay: float, callback: Callback, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        return self.asyncio_loop.call_later(max(0.0, delay), self._run, callback, args, kwargs)

    def call_at(self, when: float, callback: Callback, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        return self.call_later(when - time.time(), callback, *args, **kwargs)

    def add_timeout(
        self, deadline: float | timedelta, callback: Callback, *args: Any, **kwargs: Any
    ) -> asyncio.TimerHandle:
        if isinstance(deadline, timedelta):
            return self.call_later(deadline.total_seconds(), callback, *args, **kwargs)
        return self.call_at(deadline, callback, *args, **kwargs)

    def remove_timeout(self, timeout: asyncio.TimerHandle) -> None:
        timeout.cancel()

    def run_sync(self, function: Callable[[], Awaitable[Any] | Any]) -> Any:
        async def waited() -> Any:
            result = function()
            return await result if inspect.isawaitable(result) else result

        return self.asyncio_loop.run_until_complete(waited())

    # ---- descriptors

    def add_handler(self, fd: Any, handler: Callable[[Any, int], object], events: int) -> None:
        if events & self.READ:
            self.asyncio_loop.add_reader(fd, self._run, handler, (fd, self.READ), {})
        if events & self.WRITE:
            self.asyncio_loop.add_writer(fd, self._run, handler, (fd, self.WRITE), {})

    def remove_handler(self, fd: Any) -> None:
        self.asyncio_loop.remove_reader(fd)
        self.asyncio_loop.remove_writer(fd)

    def _run(self, callback: Callback, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        result = callback(*args, **kwargs)
        if inspect.isawaitable(result):
            future = asyncio.ensure_future(result, loop=self.asyncio_loop)
            self._waiting.add(future)
            future.add_done_callback(self._waiting.discard)


class AsyncPeriodicCallback:
    """Calls `callback` every so many milliseconds, on the current loop; two calls never overlap."""

    def __init__(self, callback: Callback, callback_time: float) -> None:
        self.callback = callback
        self.callback_time = callback_time
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_event_loop().create_task(self._turns())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    async def _turns(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.callback_time / 1000)
            try:
                result = self.callback()
                if inspect.isawaitable(result):
                    await result
            except Exception as error:  # of a plugin: its next turn may go well
                loop.call_exception_handler({"message": f"{self.callback!r} failed", "exception": error})
