# The table of Textual as somebody sees it: the text of its screen, and waiting for what should be on it.

from __future__ import annotations

import html
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from textual.pilot import Pilot

from bigtop.top import places
from bigtop.top.app import Top
from bigtop.top.model.rows import View
from tests.support.site import DEADLINE

_TEXT = re.compile(r'<text class="[^"]*" x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>')
_PLACE = 12.2  # of a character in the picture


class Seat:
    """Somebody who sits before the table of `endpoints`."""

    def __init__(self, pilot: Pilot[int]) -> None:
        self.pilot = pilot
        assert isinstance(pilot.app, Top)
        self.app = pilot.app

    def screen(self) -> list[str]:
        """Return the lines that are seen."""
        lines: dict[float, str] = {}
        found = [
            (float(y), float(x), html.unescape(text).replace("\xa0", " "))
            for x, y, text in _TEXT.findall(self.app.export_screenshot())
        ]
        for y, x, text in sorted(found):
            lines[y] = lines.get(y, "").ljust(round(x / _PLACE)) + text
        return [lines[y].rstrip() for y in sorted(lines)]

    async def wait_for(self, condition: Callable[[list[str]], object], what: str) -> list[str]:
        """Return the first screen that is as wanted."""
        end = time.monotonic() + DEADLINE
        while not condition(screen := self.screen()):
            if time.monotonic() > end:
                raise AssertionError(f"waited {DEADLINE:g} s in vain for {what}:\n" + "\n".join(screen))
            await self.pilot.pause(0.02)
        return screen

    async def see(self, text: str) -> list[str]:
        return await self.wait_for(lambda seen: any(text in line for line in seen), repr(text))

    async def provoke(self, act: Callable[[], object], text: str) -> list[str]:
        """Act again and again until something is seen of it: who has just subscribed may miss the first."""
        end = time.monotonic() + DEADLINE
        while not any(text in line for line in self.screen()):
            if time.monotonic() > end:
                raise AssertionError(
                    f"waited {DEADLINE:g} s in vain for {text!r}:\n" + "\n".join(self.screen())
                )
            act()
            await self.pilot.pause(1)
        return self.screen()

    async def hear(self, text: str) -> None:
        """Wait until a notification says something, and have it away."""
        await self.see(text)
        self.app.clear_notifications()

    async def miss(self, text: str) -> list[str]:
        return await self.wait_for(
            lambda seen: not any(text in line for line in seen), f"the end of {text!r}"
        )

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    def names(self) -> list[str]:
        """Return the names of the rows that there are, seen or not."""
        return [shown.row.name for shown in self.app.table.shown]

    async def choose(self, name: str) -> None:
        """Move to the first row that has a name, one key after the other: each is seen to have arrived, or
        was given time for that, before another one is pressed. So late ones cannot pile up, and rows may
        come and go meanwhile."""
        await self.wait_for(lambda _seen: name in self.names(), name)
        end = time.monotonic() + DEADLINE
        while (row := self.app.table.chosen) is None or row.name != name:
            if time.monotonic() > end:
                focus, screens = self.app.focused, self.app.screen_stack
                said = f"{name} is not chosen, but {row}; keys go to {focus} of {screens}"
                raise AssertionError(said + "\n" + "\n".join(self.screen()))
            names, at = self.names(), self._chosen_at()
            await self.press("down" if name in names and names.index(name) > at else "up")
            due = time.monotonic() + 1
            while time.monotonic() < due and self._chosen_at() == at:
                await self.pilot.pause(0.02)

    def _chosen_at(self) -> int:
        """Return the place of the chosen row among all."""
        rows = [shown.row for shown in self.app.table.shown]
        chosen = self.app.table.chosen
        return rows.index(chosen) if chosen in rows else 0


@asynccontextmanager
async def seated(
    endpoints: Sequence[str], *, operates: bool = False, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[Seat]:
    app = Top(places.find(endpoints, None, None), View(), operates=operates)
    app.NOTIFICATION_TIMEOUT = 2 * DEADLINE  # type: ignore[misc]  # so that none goes before it is seen
    async with app.run_test(size=size, notifications=True) as pilot:
        yield Seat(pilot)
