# Event loops: which one a worker runs, and how one is taken down.

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

from bigtop.backends.failures import leave_fork
from bigtop.errors import ConfigError
from bigtop.log import logger as get_logger

log = get_logger("bigtop.app")

ENDING: Final = 5.0  # seconds for tasks that the application left behind


def new_loop(name: str, slow_callback: float) -> asyncio.AbstractEventLoop:
    """Make the loop of "asyncio", "uvloop" or "auto", and the current one; ConfigError if it is missing.

    `slow_callback`: seconds after which a callback is logged as slow, 0 for never.
    """
    installed = importlib.util.find_spec("uvloop") is not None
    if name == "uvloop" and not installed:
        raise ConfigError("--loop uvloop needs uvloop: pip install 'bigtop[uvloop]'")
    if installed and name != "asyncio":
        import uvloop

        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    else:
        loop = asyncio.new_event_loop()
    if slow_callback:
        # asyncio measures callbacks in debug mode only, which makes everything slower: hence an option.
        loop.set_debug(True)
        loop.slow_callback_duration = slow_callback
    asyncio.set_event_loop(loop)
    return loop


def run_through(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None], is_serving: Callable[[], bool]
) -> None:
    """Run `coroutine` to its end, also when a task or a callback of the application raises SystemExit or
    KeyboardInterrupt while the worker serves: asyncio ends its loop with these, and with it all that is open.

    Nobody else raises them: the handlers of signals do not. Whoever awaits such a task has the error as well.
    """
    main = loop.create_task(coroutine)
    while True:
        try:
            loop.run_until_complete(main)
            return
        except (SystemExit, KeyboardInterrupt) as error:
            if main.done() or not is_serving():
                raise
            leave_fork(error)
            log.error("a task of the application raised %r", error, exc_info=error)


def close_loop(loop: asyncio.AbstractEventLoop, *, join_threads: bool) -> None:
    """End what the application left running. Threads that hang are not waited for without `join_threads`."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=ENDING))
    loop.run_until_complete(loop.shutdown_asyncgens())
    if join_threads:
        loop.run_until_complete(loop.shutdown_default_executor())
    asyncio.set_event_loop(None)
    if join_threads or sys.version_info >= (3, 12):
        loop.close()
