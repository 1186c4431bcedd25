# What the adapters for servers on asyncio share: hearing the supervisor in the event loop, and the drain.

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bigtop.backends.base import Life
from bigtop.backends.draining import TICK, Drain


def draining(life: Life) -> asyncio.Event:
    """Return what is set when the worker has to drain; hears the supervisor until then."""
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()

    def hear() -> None:
        life.on_lifeline()
        if life.draining:
            loop.remove_reader(life.fileno())  # from now on Drain listens
            asked.set()

    loop.add_reader(life.fileno(), hear)
    return asked


async def drained(
    life: Life, is_busy: Callable[[], bool], connections: Callable[[], int | None] = lambda: None
) -> Drain:
    """Wait until the drain is over; returns its clock."""
    clock = Drain(life)
    while not clock.is_over(is_busy(), connections()):
        await asyncio.sleep(TICK)
    return clock
