# What watchers told, for those who ask afterwards.
#
# Rule: bounded by the number of watchers: of each the last failure is kept, until something else is wanted of
# it. So everybody who waits for the same thing is told.

from __future__ import annotations

import asyncio

from bigtop.supervisor import messages


class News:
    """Event loop only."""

    def __init__(self) -> None:
        self._failures: dict[str, str] = {}  # why watchers gave up or could not be reloaded
        self._deaths: list[asyncio.Future[None]] = []

    def hear(self, name: str, notice: messages.Notice) -> None:
        match notice:
            case messages.GaveUp(reason) | messages.ReloadFailed(_, _, reason):
                self._failures[name] = reason
            case messages.Removed():
                self._failures.pop(name, None)
            case messages.Reaped():
                deaths, self._deaths = self._deaths, []
                for death in deaths:
                    if not death.done():
                        death.set_result(None)

    def failure(self, name: str) -> str | None:
        """Return why the last thing that was wanted of a watcher could not be."""
        return self._failures.get(name)

    def forget_failure(self, name: str) -> None:
        """Something else is wanted of it now."""
        self._failures.pop(name, None)

    def forget_failures(self) -> None:
        """Something else may be wanted of all of them now."""
        self._failures.clear()

    def next_death(self) -> asyncio.Future[None]:
        """Return what is done when some process, whichever, has ended."""
        death: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._deaths.append(death)
        return death
