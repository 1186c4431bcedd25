# Plugins as their authors write them, good ones and bad ones.

from __future__ import annotations

import asyncio
import time

from bigtop.plugins import Event, OptionError, Plugin, option


class Recorder(Plugin):
    """Writes what it hears into a file, and does what it is told by events."""

    topics = ("plain.*",)
    filename: str = option(help="where it writes")
    times: int = option(1, minimum=1)

    async def check(self) -> None:
        if self.filename.endswith("/"):
            raise OptionError("filename", "must not be a folder")

    async def start(self) -> None:
        self.state["starts"] = self.state.get("starts", 0) + 1
        names = ",".join((await self.call("list"))["watchers"])
        self.write(f"start {self.state['starts']} x{self.times} of {names}")

    async def on_event(self, event: Event) -> None:
        self.write(f"{event.topic} {event.pid}")

    async def stop(self) -> None:
        self.write("stop")

    def write(self, line: str) -> None:
        with open(self.filename, "a") as file:
            file.write(line + "\n")


class Crashes(Plugin):
    async def start(self) -> None:
        raise KeyError("of no use")


class Hangs(Plugin):
    """Stops its event loop for ever."""

    async def start(self) -> None:
        time.sleep(1000)


class Floods(Plugin):
    """Gives commands as fast as it can, and does not wait for any of them."""

    async def start(self) -> None:
        self.log.info("floods")
        self._all = [asyncio.create_task(self.flood()) for _ in range(50)]

    async def flood(self) -> None:
        while True:
            for _ in range(20):
                await self.cast("status")
            await asyncio.sleep(0)


class Oversteps(Plugin):
    """Has no right to what it does."""

    async def start(self) -> None:
        await self.call("stop", name="plain")


class NeverChecked(Plugin):
    async def check(self) -> None:
        await self.call("list")


class Slow(Plugin):
    """Is not done with the first event before the others have come."""

    filename: str
    topics = ("plain.spawn", "plain.hook_success")

    async def on_event(self, event: Event) -> None:
        await asyncio.sleep(0)
