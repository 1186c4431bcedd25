# Tasks whose first step runs at once, instead of in the next turn of the event loop.
#
# Most requests are answered in one step. Run here and now, such a step costs no turn of the loop and no
# wake-up; to the application nothing differs: there is a Task, it is asyncio.current_task(), and it runs in a
# context of its own. Python 3.12 can do this by itself (eager_start=True). For 3.11 the loop's call_soon(),
# by which a new Task asks for its first step, is covered for the moment in which it asks.
#
# Rule 1: start() is called where no Task runs.
# Rule 2: a task's context is a copy of that in which the starter was made. The one in which start() is called
# may be that of an earlier request: whose call asked for more input, or answered in front of a pipelined one.

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from time import monotonic
from typing import Any
from weakref import ref

from bigtop.log import logger as get_logger

log = get_logger("bigtop.app")

Start = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class Tasks:
    """Application calls as tasks of `loop`; `ended` hears of each end that did not come at once.

    First steps of more than `slow` seconds are logged, 0 for none.
    """

    __slots__ = ("_ended", "_start", "open", "starting")

    def __init__(self, loop: asyncio.AbstractEventLoop, slow: float, ended: Callable[[], object]) -> None:
        self._start = starter(loop, slow)
        self._ended = ended
        self.open: dict[asyncio.Task[None], Any] = {}  # those that have not returned, with their calls
        self.starting: Any = None  # the call of which the first step runs now

    def run(self, coroutine: Coroutine[Any, Any, None], call: object) -> None:
        """Begin with one, now; where no task runs."""
        self.starting = call
        task = self._start(coroutine)
        self.starting = None
        if not task.done():
            self.open[task] = call
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.open.pop(task, None)
        self._ended()


def starter(loop: asyncio.AbstractEventLoop, slow: float = 0.0) -> Start:
    """Return what starts coroutines as tasks of `loop`. Each task that has not ended needs a reference.

    First steps of more than `slow` seconds are logged, 0 for none.
    """
    return _watched(_starter(loop), slow) if slow else _starter(loop)


def _watched(start: Start, slow: float) -> Start:
    # Loops measure what they call themselves; a first step is called by us.
    def watched(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        began = monotonic()
        task = start(coroutine)
        seconds = monotonic() - began
        if seconds > slow:
            log.warning("the first step of %r took %.3f seconds", task, seconds)
        return task

    return watched


def _starter(loop: asyncio.AbstractEventLoop) -> Start:
    base = copy_context()
    if sys.version_info >= (3, 12):

        def start(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
            return asyncio.Task(coroutine, loop=loop, name="request", context=base.copy(), eager_start=True)

        return start
    return _Starter(loop, base).start


class _Starter:
    def __init__(self, loop: asyncio.AbstractEventLoop, base: Context) -> None:
        self._loop = loop
        self._base = base
        self._attributes = vars(loop)
        self._step: Callable[[], None] = lambda: None
        # A task enters itself into a WeakSet, by calls that are compiled neither here nor when it goes. This
        # is the same entry, made by C code alone; all_tasks() copes with a set that changes under its hands.
        tasks: Any = asyncio.tasks._all_tasks  # type: ignore[attr-defined]
        self._tasks = vars(tasks)
        self._enter = tasks.data.add
        self._leave = tasks.data.discard

    def start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        context = self._base.copy()
        attributes, tasks = self._attributes, self._tasks
        attributes["call_soon"] = self._catch
        tasks["add"] = self._register
        try:
            task = asyncio.Task(coroutine, loop=self._loop, name="request", context=context)
        finally:
            del attributes["call_soon"], tasks["add"]
        context.run(self._step)
        return task

    def _catch(self, step: Callable[[], None], context: Context | None = None) -> None:
        self._step = step

    def _register(self, task: asyncio.Task[None]) -> None:
        self._enter(ref(task, self._leave))
