# AutoScale: bounds between which the core has as many processes as their load asks for, given from outside.
#
# Rule: it decides nothing. The core sees the load 5 times a second, or asks `scale_command`; it is told the
# bounds, and told again when a description that was read anew does not know them.

from __future__ import annotations

from bigtop.plugins.options import OptionError, option
from bigtop.plugins.plugin import Event, Plugin


class AutoScale(Plugin):
    """Has the number of processes follow the load, for watchers whose own sections are not to be touched."""

    role = "operate"
    topics = ("*.add", "*.updated")

    watchers: tuple[str, ...] = option(help="whose processes", takes="WATCHER")
    min: int = option(1, help="processes that there are at least", minimum=1)
    max: int = option(help="processes that there are at most", minimum=1)

    async def check(self) -> None:
        if not self.watchers:
            raise OptionError("watchers", "is needed: whose processes?")
        if self.max < self.min:
            raise OptionError("max", f"must be {self.min} or more, as min is")

    async def start(self) -> None:
        for watcher in self.watchers:
            await self._bound(watcher)

    async def on_event(self, event: Event) -> None:
        for watcher in self.watchers:
            if event.is_of(watcher):
                await self._bound(watcher)

    async def _bound(self, watcher: str) -> None:
        await self.call("scale", name=watcher, count=f"{self.min}..{self.max}")
