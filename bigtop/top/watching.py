# Watch of several supervisors at once, for as long as a with statement.

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType

from bigtop.top.model.node import Node
from bigtop.top.places import Place
from bigtop.top.watch import Watch


class Watching:
    """Watches `places` in an async with statement. `changed` is called when there is something new."""

    def __init__(self, places: Sequence[Place], changed: Callable[[], None] = lambda: None) -> None:
        self.watches = {place.name: Watch(Node(place.name), place, changed) for place in places}
        self.nodes = [watch.node for watch in self.watches.values()]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Watching:
        self._tasks = [asyncio.create_task(watch.run()) for watch in self.watches.values()]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def check(self) -> None:
        """Raise what a watch ended with, which it does only by a mistake of ours."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()
