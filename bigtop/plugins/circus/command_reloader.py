# CommandReloader: restarts a watcher when the program that it runs was changed.
#
# Rules: a command is found as it is started, by its first word and PATH. A file that was changed in this very
# second may still be written to, and is looked at again.

from __future__ import annotations

import os
import shlex
import shutil
import time
from fnmatch import fnmatchcase as fnmatch
from typing import Any, ClassVar, Final, Literal

from bigtop.log import logger
from bigtop.plugins.circus.loop import AsyncPeriodicCallback
from bigtop.plugins.circus.plugin import CircusPlugin
from bigtop.plugins.options import option

log = logger("bigtop.circus")

STILL: Final = 1.0  # seconds in which a file has not changed


class CommandReloader(CircusPlugin):
    """Restarts a watcher when the program that it runs was changed."""

    name = "command_reloader"
    role: ClassVar[str] = "operate"

    loop_rate: float = option(1.0, help="seconds between two looks", minimum=0.01, takes="SECONDS")
    watchers: tuple[str, ...] = option(("*",), help="whose program, by name or as in web*", takes="WATCHER")
    restart_by: Literal["restart", "reload"] = option("restart", help="reload has new processes ready first")

    def __init__(self, *args: Any, **config: Any) -> None:
        super().__init__(*args, **config)
        self.cmd_files: dict[str, dict[str, Any]] = {}

    def handle_init(self) -> None:
        self.period = AsyncPeriodicCallback(self.look_after, self.loop_rate * 1000)
        self.period.start()

    def handle_stop(self) -> None:
        self.period.stop()

    def handle_recv(self, data: Any) -> None:
        pass

    def is_modified(self, watcher: str, current_mtime: float, current_path: str) -> bool:
        known = self.cmd_files.get(watcher)
        return known is not None and (known["mtime"], known["path"]) != (current_mtime, current_path)

    def _is_watched(self, name: str) -> bool:
        wanted = any(fnmatch(name.lower(), pattern.lower()) for pattern in self.watchers)
        return wanted and not name.startswith("plugin:")

    def look_after(self) -> None:
        names = [name for name in self.call("list")["watchers"] if self._is_watched(name)]
        self.cmd_files = {name: known for name, known in self.cmd_files.items() if name in names}
        for name in names:
            command = self.call("get", name=name, keys=["cmd"]).get("options", {}).get("cmd")
            found = _file_of(command) if command else None
            if found is None:
                continue
            path, changed = found
            if self.is_modified(name, changed, path):
                if 0 <= time.time() - changed < STILL:
                    continue
                log.info("%s: %s was changed", name, path)
                self.call(self.restart_by, name=name)
            self.cmd_files[name] = {"path": path, "mtime": changed}


def _file_of(command: str) -> tuple[str, float] | None:
    """Return the file that a command runs and when it was changed; None where that cannot be told."""
    try:
        word = shlex.split(command)[0]
        path = os.path.realpath(shutil.which(word) or word)
        return path, os.stat(path).st_mtime
    except (OSError, ValueError, IndexError):
        return None
