# Cron: when a watcher with a schedule runs next.
#
# Rules: cron's own language and its treatment of summer time are cronsim's business. Clocks are set and
# machines sleep, so nobody waits longer than a minute before looking at the clock again; what was missed
# meanwhile is run once if it is less than that late, and not at all otherwise.

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from bigtop.errors import ConfigError

_LONGEST_SLEEP = 60.0


def check(expression: str) -> None:
    """Raise ConfigError for what is no cron expression, or never comes true."""
    next_run(expression, datetime.now().astimezone())


def next_run(expression: str, now: datetime) -> datetime:
    """Return the first moment after `now`, in the time zone of `now`."""
    from cronsim import CronSim, CronSimError  # here: most files have no schedule

    try:
        return next(CronSim(expression, now))
    except (CronSimError, StopIteration) as error:
        reason = str(error) or "it never comes"
        raise ConfigError(f"schedule {expression!r}: {reason}; cron's five fields are expected") from error


class Appointment:
    """Calls `on_due` at every moment of the schedule, until it is cancelled. Event loop only.

    `due`, in seconds since the epoch, is the next moment of one that goes on for another: what became due in
    between is run, too."""

    def __init__(self, expression: str, on_due: Callable[[], None], due: float | None = None) -> None:
        self._expression = expression
        self._on_due = on_due
        self._timer: asyncio.TimerHandle | None = None
        if due is None:
            self._arrange()
        else:
            self.due = datetime.fromtimestamp(due).astimezone()
            self._timer = asyncio.get_running_loop().call_later(0, self._wait)

    def _arrange(self) -> None:
        self.due = next_run(self._expression, datetime.now().astimezone())
        self._wait()

    def _wait(self) -> None:
        left = (self.due - datetime.now().astimezone()).total_seconds()
        if left <= -_LONGEST_SLEEP:
            self._arrange()
        elif left <= 0:
            self._on_due()
            self._arrange()
        else:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(min(left, _LONGEST_SLEEP), self._wait)

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
