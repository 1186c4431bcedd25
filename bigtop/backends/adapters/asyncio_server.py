# Base of adapters for servers on asyncio: the supervisor's words heard in the event loop, and the drain.

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

from bigtop.backends.adapters.drain import SOON, TICK, DrainClock
from bigtop.backends.adapters.listeners import unclaimed
from bigtop.backends.base import Life


def drain_event(life: Life) -> asyncio.Event:
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


async def accept_waiting(listeners: Sequence[socket.socket], life: Life) -> None:
    """Wait until the server has accepted those whom nobody else will."""
    for _ in unclaimed(listeners, life):
        await asyncio.sleep(SOON)


async def wait_until_drained(
    life: Life, is_busy: Callable[[], bool], connections: Callable[[], int | None] = lambda: None
) -> DrainClock:
    """Wait until the drain is over; returns its clock."""
    clock = DrainClock(life)
    while not clock.is_over(is_busy(), connections()):
        await asyncio.sleep(TICK)
    return clock
