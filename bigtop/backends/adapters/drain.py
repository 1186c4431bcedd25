# The end of a worker with somebody else's server: how long it stays for clients that are still connected.
#
# Rule: a client that holds an idle connection cannot be told that the worker leaves; only an answer can. So a
# draining worker stays a little for a last request on each, which is answered with "Connection: close". (The
# native backends do the same, see timeouts.py.)

from __future__ import annotations

import select
import selectors
import time
from collections.abc import Callable
from typing import Final

from bigtop.backends.base import Life
from bigtop.backends.native.timeouts import LAST_REQUEST

TICK: Final = 0.05  # seconds between two looks at a worker that drains
SOON: Final = 0.005  # and at a server that accepts those who wait


class DrainClock:
    """The clock of a drain; begins when it is made."""

    def __init__(self, life: Life) -> None:
        now = time.monotonic()
        self._life = life
        self._poll = select.poll()
        self._poll.register(life.fileno(), select.POLLIN)
        self._leave_by = now + life.grace
        self._quiet_from = now + min(LAST_REQUEST, life.grace)

    def is_over(self, busy: bool, connections: int | None = None) -> bool:
        """Whether to leave, given whether requests are open, and how many connections where that is known."""
        now = time.monotonic()
        if self._poll.poll(0):  # a stop in a hurry may follow a patient one
            self._life.on_lifeline()
            self._leave_by = min(self._leave_by, now + self._life.grace)
        over = now >= self._leave_by
        if over or (not busy and (connections == 0 or now >= self._quiet_from)):
            self._life.cut_off()
            return True
        return False

    @property
    def left(self) -> float:
        """Seconds until the worker has to be gone."""
        return max(0.0, self._leave_by - time.monotonic())


def wait_until_draining(life: Life) -> None:
    """Block this thread, which is then the one that hears the supervisor, until it is time to drain."""
    with selectors.DefaultSelector() as selector:
        selector.register(life.fileno(), selectors.EVENT_READ)
        while not life.draining:
            selector.select()
            life.on_lifeline()


def drain(
    life: Life, is_busy: Callable[[], bool], connections: Callable[[], int | None] = lambda: None
) -> DrainClock:
    """Block this thread until the drain is over; returns its clock."""
    clock = DrainClock(life)
    while not clock.is_over(is_busy(), connections()):
        time.sleep(TICK)
    return clock
