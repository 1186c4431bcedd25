# Overdue calls of an event loop: those past a time limit of their own are cancelled, and one that keeps the
# loop from turning is interrupted where it stands.
#
# Rule 1: --timeout is for the loop, not for requests, which may wait. Those that --timeout-for is about have
# a limit of their own, and only they are known here.
# Rule 2: a loop that stands still cannot cancel anything. The supervisor's signal is handled in its thread,
# in the middle of what that does. To raise an exception there is safe in a step of a task of ours (a task
# keeps what is raised in it), inside of the application and not of the event loop's own code: the handler
# sees that. What the application runs in tasks of its own belongs to no request that we know of: it is left
# alone, and the worker is retired.

from __future__ import annotations

import asyncio
from types import FrameType
from typing import Any, Final

from bigtop.backends.asgi.loop.eager_tasks import Tasks
from bigtop.backends.asgi.metrics import INSIDE, OVERDUE, MeteredCall
from bigtop.backends.cutoff import Overdue, is_foreign, stands_still
from bigtop.backends.native.deadline import Deadline
from bigtop.http.interfaces.scope import Scope
from bigtop.http.paths.time_limits import NAME, NEVER, SECOND, SEEN_NS, TimeLimits
from bigtop.ipc.scoreboard import Slot
from bigtop.log import logger as get_logger
from bigtop.system.clock import monotonic_ns

log = get_logger("bigtop.app")

AGAIN: Final = SECOND  # until a call is looked at again that waits for its client


def tell_interrupted(name: str, called: int, error: BaseException) -> None:
    """Log that a request was interrupted, and with what error that ended its call: it shows where."""
    seconds = (monotonic_ns() - called) / SECOND
    log.error("%s is interrupted after %.1f s", name, seconds, exc_info=error)


class OverdueCalls:
    """Event loop only. Calls are cancelled if this `interrupts`; otherwise they only know their limit."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        slot: Slot,
        tasks: Tasks,
        limits: TimeLimits,
        *,
        interrupts: bool,
    ) -> None:
        self._loop = loop
        self._slot = slot
        self._tasks = tasks
        self._limits = limits
        self._interrupts = interrupts
        self._calls: dict[MeteredCall, tuple[Deadline, Any]] = {}  # with its task
        self._due = NEVER

    def enter(self, call: MeteredCall, scope: Scope) -> None:
        """The application is about to be called, in this task, for a request that may have a limit."""
        limit, slot = self._limits.of(call.request.target), self._slot
        slot.limit(call.record, call.called, call.called + limit if limit else NEVER)
        if not limit:
            return
        deadline = Deadline()
        deadline.slot, deadline.place = slot, call.record
        deadline.began, deadline.at = call.called, call.called + limit
        scope["extensions"][NAME] = {"remaining": deadline.remaining, "extend": deadline.extend}
        if self._interrupts:
            self._calls[call] = deadline, asyncio.current_task()
            self._await(deadline.at + SEEN_NS)

    def leave(self, call: MeteredCall) -> None:
        """It is over."""
        self._calls.pop(call, None)

    def _await(self, at: int) -> None:
        if at < self._due:
            self._due = at
            self._loop.call_later(max(0, at - monotonic_ns()) / SECOND, self._look, at)

    def _look(self, at: int) -> None:
        if at > self._due:  # another look came first, and has seen to the rest
            return
        self._due, now = NEVER, monotonic_ns()
        for call, (deadline, task) in list(self._calls.items()):
            if call.answer.complete:  # what goes on is no request any more
                del self._calls[call]
            elif now < deadline.at + SEEN_NS:  # it was extended, perhaps
                self._await(deadline.at + SEEN_NS)
            elif call.is_held_back():
                self._await(now + AGAIN)
            else:
                del self._calls[call]
                call.stage = OVERDUE
                task.cancel()

    def end_standstill(self, frame: FrameType | None, timeout_ns: int) -> None:
        """Raise Overdue if the loop's thread is inside of a call, at `frame`, that keeps the loop from
        turning. A signal's handler does this, so nothing happens meanwhile."""
        task = asyncio.current_task(self._loop)
        call = None if task is None else self._tasks.starting or self._tasks.open.get(task)
        if call is None or call.stage != INSIDE:
            return
        if stands_still(self._slot.words, timeout_ns) and is_foreign(frame):
            call.stage = OVERDUE
            raise Overdue
