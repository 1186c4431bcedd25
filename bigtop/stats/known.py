# Knowledge of the supervisor in the stats process: who runs, when that was told last, what workers count.
#
# Rule: the supervisor is asked one thing at a time. Who wants to know while it is asked gets that answer.

from __future__ import annotations

import asyncio
import time

from bigtop.stats.feed import Feed
from bigtop.stats.figures import AppFigures, Figures
from bigtop.stats.roster import Roster
from bigtop.stats.windows import Occupancy, Windows


class Known:
    """Event loop only."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._asking: asyncio.Task[None] | None = None
        self._heard_at: float | None = None
        self._figures: Figures | None = None
        self.roster = Roster(0, ())
        self.windows = Windows()
        self.occupancy = Occupancy()

    @property
    def silence(self) -> float | None:
        """For how many seconds the supervisor has not answered; None before its first answer."""
        return None if self._heard_at is None else time.monotonic() - self._heard_at

    @property
    def is_alone(self) -> bool:
        """Whether there is no supervisor any more."""
        return self._feed.gone.done()

    async def learn(self) -> Roster:
        """Return who runs, as it is known when the supervisor has answered or taken too long for that."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        await asyncio.shield(self._asking)
        return self.roster

    def counts(self) -> dict[str, AppFigures]:
        """Return what workers count, by application; nothing before the first answer, nor once the supervisor
        is gone. Each such look is one that `windows` are made of."""
        if not self.roster.own:
            return {}
        if self._figures is None:
            self._figures = Figures(self.roster.own[0][0])
        try:
            found = self._figures.look()
        except OSError:
            found = {}
        now = time.monotonic()
        self.windows.add(now, found)
        self.occupancy.add(now, found)
        return found

    async def _ask(self) -> None:
        said = await self._feed.ask(self.roster.version)
        if said is not None:
            self._heard_at = time.monotonic()
        if isinstance(said, Roster):
            self.roster = said
