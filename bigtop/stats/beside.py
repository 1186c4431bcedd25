# Calls that may take long, made beside the event loop in a thread that nobody waits for at the end.

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def beside(call: Callable[[], T], name: str) -> T:
    """Return what `call` returns, or raise what it raises. `name` is that of the thread."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if found.done():
            return
        if error is not None:
            found.set_exception(error)
        else:
            found.set_result(result)  # type: ignore[arg-type]  # it is T where there is no error

    def run() -> None:
        result, error = None, None
        try:
            result = call()
        except Exception as wrong:  # whatever it is: whoever waits is told
            error = wrong
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await found
