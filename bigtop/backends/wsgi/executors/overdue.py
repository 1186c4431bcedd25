# Overdue calls: those that go on without the lead, until they are past their time limit and are interrupted.
#
# Rule: leader only. A call that comes back before somebody else takes the lead is never in here, so quick
# requests pay nothing.

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bigtop.backends.wsgi.call import Call
from bigtop.http.paths.time_limits import NEVER, SEEN_NS


class OverdueCalls:
    """`interrupt` is told a call, and who runs it."""

    __slots__ = ("_calls", "_interrupt", "due", "wake")

    def __init__(self, interrupt: Callable[[Call, Any], None]) -> None:
        self._calls: dict[Call, Any] = {}
        self._interrupt = interrupt
        self.wake: Callable[[int], None] = lambda at: None  # has look() called then
        self.due = NEVER

    def add(self, call: Call, runner: Any) -> None:
        """`call` goes on in `runner`, a thread or a greenlet."""
        if call.deadline is not None:
            self._calls[call] = runner
            self._await(call.deadline.at + SEEN_NS)

    def discard(self, call: Call) -> None:
        """It has come to its end."""
        self._calls.pop(call, None)

    def _await(self, at: int) -> None:
        if at < self.due:
            self.due = at
            self.wake(at)

    def look(self, now: int) -> None:
        """Interrupt those that are past their limit, each once: what happens to one that goes on is the
        supervisor's affair."""
        self.due = NEVER
        for call, runner in list(self._calls.items()):
            deadline = call.deadline
            if deadline is None or call.interruption is not None or call.is_held_back:
                del self._calls[call]
            elif now < deadline.at + SEEN_NS:  # it was extended, perhaps
                self._await(deadline.at + SEEN_NS)
            else:
                self._interrupt(call, runner)
