"""A plugin: as many processes as there are jobs for in a folder, and a line in the log for each that dies.

[plugin.scaler]
use = "queue_scaler.QueueScaler"
watcher = "worker"
folder = "/var/spool/jobs"
"""

import os

from bigtop.plugins import Event, OptionError, Plugin, option


class QueueScaler(Plugin):
    """Has one process for every `per_worker` files in a folder."""

    role = "operate"  # it may start and stop processes; without this it could only look
    topics = ("*.died",)

    watcher: str = option(help="whose processes")
    folder: str = option(help="where jobs lie")
    per_worker: int = option(100, help="jobs for one process", minimum=1)

    async def check(self) -> None:
        if not os.path.isdir(self.folder):
            raise OptionError("folder", f"there is no folder {self.folder}")

    async def start(self) -> None:
        self.every(5, self.look)

    async def look(self) -> None:
        jobs = len(os.listdir(self.folder))
        await self.call("scale", name=self.watcher, count=1 + jobs // self.per_worker)

    async def on_event(self, event: Event) -> None:
        self.state["deaths"] = self.state.get("deaths", 0) + 1
        self.log.info("%s died with %s: death %d", event.watcher, event.status, self.state["deaths"])
