# Flapping: the class of Circus' plugin, for those who made one of their own of it. A section that uses it is
# not run: the supervisor counts deaths itself, by the same keys.

from __future__ import annotations

import time
from threading import Timer
from typing import Any, ClassVar, Final

from bigtop.plugins.circus.conversions import to_bool
from bigtop.plugins.circus.plugin import CircusPlugin
from bigtop.plugins.options import option

INFINITE_RETRY: Final = -1
_PREFIX: Final = "flapping."  # of options of a watcher


class Flapping(CircusPlugin):
    """Stops a watcher for a while whose processes die too often."""

    name = "flapping"
    role: ClassVar[str] = "operate"

    attempts: int = option(2, help="deaths that are too many")
    window: float = option(1.0, help="seconds that these take", takes="SECONDS")
    retry_in: float = option(7.0, help="seconds until it is started again", takes="SECONDS")
    max_retry: int = option(5, help="starts after which it stays stopped; -1: never")

    def __init__(self, *args: Any, **config: Any) -> None:
        super().__init__(*args, **config)
        self.timelines: dict[str, list[float]] = {}
        self.timers: dict[str, Timer] = {}
        self.configs: dict[str, dict[str, Any]] = {}
        self.tries: dict[str, int] = {}

    def handle_stop(self) -> None:
        for timer in self.timers.values():
            timer.cancel()

    def handle_recv(self, data: Any) -> None:
        watcher, action, _ = self.split_data(data)
        if action == "reap":
            self.timelines.setdefault(watcher, []).append(time.time())
            self.check(watcher)
        elif action == "updated":
            self.update_conf(watcher)

    def update_conf(self, watcher_name: str) -> dict[str, Any]:
        """Learn what a watcher's own options say."""
        options = self.call("options", name=watcher_name).get("options", {})
        kinds = {"attempts": int, "max_retry": int, "window": float, "retry_in": float}
        found = self.configs.setdefault(watcher_name, {})
        for key, value in options.items():
            if key.startswith(_PREFIX):
                name = key.removeprefix(_PREFIX)
                found[name] = kinds.get(name, str)(value)
        return found

    def check(self, watcher_name: str) -> None:
        """Stop a watcher that flaps, and have it started again later."""
        own = self.configs[watcher_name] if watcher_name in self.configs else self.update_conf(watcher_name)
        deaths = self.timelines[watcher_name]
        if not to_bool(own.get("active", self.active)) or len(deaths) < own.get("attempts", self.attempts):
            return
        self.timelines[watcher_name] = []
        took = deaths[-1] - deaths[0] - self.check_delay
        if took > own.get("window", self.window):
            self.tries[watcher_name] = 0
            return
        tries = self.tries.get(watcher_name, 0)
        most = own.get("max_retry", self.max_retry)
        self.cast("stop", name=watcher_name)
        if most != INFINITE_RETRY and tries >= most:
            self.tries[watcher_name] = 0
            return
        self.tries[watcher_name] = tries + 1
        timer = Timer(own.get("retry_in", self.retry_in), self.cast, ("start",), {"name": watcher_name})
        timer.start()
        self.timers[watcher_name] = timer
