# EventLog: events as lines of JSON in a file, for programs that read such files.

from __future__ import annotations

import json
import os
from contextlib import suppress

from bigtop import sizes
from bigtop.plugins import topics
from bigtop.plugins.options import OptionError, option
from bigtop.plugins.plugin import Event, Plugin


class EventLog(Plugin):
    """Appends events to a file, one object of JSON a line."""

    filename: str = option(help="the file; logrotate may rename it at any time", takes="FILE")
    events: tuple[str, ...] = option(("*",), help="which events, such as *.reap")
    max_bytes: int = option(
        0, help="renames the file that is as long; 0: never", parse=sizes.size, takes="SIZE"
    )
    backup_count: int = option(1, help="renamed files that are kept", minimum=1)

    async def check(self) -> None:
        try:
            self.topics = topics.checked(self.events)
        except ValueError as error:
            raise OptionError("events", str(error)) from None
        folder = os.path.dirname(os.path.abspath(self.filename))
        if not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK):
            raise OptionError("filename", f"there is no folder {folder} that may be written to")

    async def on_event(self, event: Event) -> None:
        line = {"watcher": event.watcher, "event": event.kind, **event.payload}
        with open(self.filename, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            length = file.tell()
        if self.max_bytes and length >= self.max_bytes:
            for number in reversed(range(self.backup_count)):
                with suppress(FileNotFoundError):
                    os.replace(
                        f"{self.filename}.{number}" if number else self.filename,
                        f"{self.filename}.{number + 1}",
                    )
