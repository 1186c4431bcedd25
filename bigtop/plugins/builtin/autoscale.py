# AutoScale: has as many processes as there is work for, by the core's own policy or by what a command prints.
#
# Rules: the core decides by the load of workers, which it sees 5 times a second; here it is only given its
# bounds. What the core cannot see, such as the length of a queue, a command tells. More processes are had at
# once, fewer only when less has been enough for a while.

from __future__ import annotations

import asyncio
import math
import shlex
from asyncio.subprocess import PIPE
from contextlib import suppress

from bigtop.plugins.options import OptionError, option
from bigtop.plugins.plugin import Event, Plugin
from bigtop.record import Record


class Bounds(Record):
    """Between which the number is, and how much work is for one process."""

    least: int
    most: int
    per_process: float

    def wanted(self, work: float) -> int:
        """Return how many processes there are to be for so much work."""
        return max(self.least, min(self.most, math.ceil(work / self.per_process)))


class Hold:
    """The largest number that was wanted in the last `turns` turns: a number falls only after these."""

    def __init__(self, turns: int) -> None:
        self._turns = turns
        self._wanted: list[int] = []

    def take(self, wanted: int) -> int:
        self._wanted = [*self._wanted, wanted][-self._turns :]
        return max(self._wanted)


class AutoScale(Plugin):
    """Has as many processes of a watcher as there is work for."""

    role = "operate"
    topics = ("*.add", "*.updated")

    watcher: str = option(help="whose processes", takes="WATCHER")
    min: int = option(1, help="processes that there are at least", minimum=1)
    max: int = option(help="processes that there are at most", minimum=1)
    command: str = option(
        "", help="prints how much work waits, a number; without: the load of workers counts"
    )
    per_process: float = option(1.0, help="work for one process", minimum=1e-9)
    interval: float = option(
        5.0, help="seconds between two runs of the command", minimum=0.05, takes="SECONDS"
    )
    hold: float = option(60.0, help="seconds until there are fewer", minimum=0, takes="SECONDS")

    async def check(self) -> None:
        if self.max < self.min:
            raise OptionError("max", f"must be {self.min} or more, as min is")
        try:
            shlex.split(self.command)
        except ValueError as error:
            raise OptionError("command", str(error)) from None

    async def start(self) -> None:
        self._count: int | None = None  # what was asked for last
        if not self.command:
            await self._bound()
            return
        self._bounds = Bounds(self.min, self.max, self.per_process)
        self._hold = Hold(1 + round(self.hold / self.interval))
        self.every(self.interval, self.look)

    async def on_event(self, event: Event) -> None:
        """Say again what a description that was read anew does not know."""
        if event.watcher == self.watcher.lower():
            self._count = None
            if not self.command:
                await self._bound()

    async def _bound(self) -> None:
        await self.call("scale", name=self.watcher, count=f"{self.min}..{self.max}")

    async def look(self) -> None:
        work = await self._work()
        if work is None:
            return
        count = self._hold.take(self._bounds.wanted(work))
        if count != self._count:
            self.log.info("%s: %g of work: %d processes", self.watcher, work, count)
            await self.call("scale", name=self.watcher, count=count)
            self._count = count

    async def _work(self) -> float | None:
        """Return what the command prints; None, and a line in the log, where that is of no use."""
        trouble = f"said nothing within {self.interval:g} s"
        try:
            process = await asyncio.create_subprocess_exec(*shlex.split(self.command), stdout=PIPE)
        except OSError as error:
            self.log.warning("command: %s", error.strerror)
            return None
        try:
            async with asyncio.timeout(self.interval):
                out, _ = await process.communicate()
                trouble = f"printed {out[:80]!r} and ended with status {process.returncode}"
                if process.returncode == 0 and math.isfinite(found := float(out)):
                    return max(0.0, found)
        except (TimeoutError, ValueError):
            pass
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        self.log.warning("command: %s: nothing is changed", trouble)
        return None
