# The supervisor: performs what the machines decide.
#
# Rule 1: every change of a watcher's state goes through Supervisor.feed(): an event in, actions performed,
# notices published. That is where to set the breakpoint. Rule 2: nothing here blocks and nothing here
# decides; watchers never wait for each other. Rule 3: the core does not know what a worker is; that is for
# a Spawner to know.

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bigtop.supervisor import messages
from bigtop.supervisor.machine import Watcher
from bigtop.supervisor.spec import WatcherSpec

Publish = Callable[[str, messages.Notice], None]


class Spawner(Protocol):
    """How the processes of one watcher are made and ended; answers come back as events."""

    def prepare(self, generation: int) -> None: ...

    def discard(self, generation: int) -> None: ...

    def spawn(self, key: int, wid: int, generation: int) -> None: ...

    def drain(self, key: int, grace: float) -> None: ...

    def kill(self, key: int) -> None: ...

    def report(self, key: int, reason: str) -> None:
        """Write down what the process is doing."""

    def look_for_late(self) -> None:
        """Find processes that are stuck; called about once a second, and only while any process runs."""

    def pids(self) -> set[int]:
        """Return the children that are known, each of which somebody waits for."""


@dataclass(slots=True)
class _Entry:
    machine: Watcher
    spawner: Spawner
    timer: asyncio.TimerHandle | None = None


class Supervisor:
    """All watchers by name; event loop only."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._entries: dict[str, _Entry] = {}
        self._keys = itertools.count(1)
        self._events: deque[tuple[str, messages.Event]] = deque()
        self._feeding = False
        self._look_timer: asyncio.TimerHandle | None = None

    def add(
        self, spec: WatcherSpec, make_spawner: Callable[[Callable[[messages.Event], None]], Spawner]
    ) -> None:
        """Take in a stopped watcher. `make_spawner` is given the function that takes the spawner's events."""

        def feed(event: messages.Event) -> None:
            self.feed(spec.name, event)

        self._entries[spec.name] = _Entry(Watcher(spec, self._keys), make_spawner(feed))

    def watcher(self, name: str) -> Watcher:
        return self._entries[name].machine

    @property
    def names(self) -> list[str]:
        return list(self._entries)

    def pids(self) -> set[int]:
        return {pid for entry in self._entries.values() for pid in entry.spawner.pids()}

    def feed(self, name: str, event: messages.Event) -> None:
        """The choke point. An event that comes up while another is performed waits for its turn."""
        self._events.append((name, event))
        if self._feeding:
            return
        self._feeding = True
        try:
            while self._events:
                name, event = self._events.popleft()
                self._step(name, self._entries[name], event)
        finally:
            self._feeding = False

    def feed_all(self, event: messages.Event) -> None:
        for name in self.names:
            self.feed(name, event)

    def _step(self, name: str, entry: _Entry, event: messages.Event) -> None:
        for action in entry.machine.handle(event, time.monotonic()):
            self._perform(name, entry.spawner, action)
        self._set_timer(name, entry)
        self._keep_looking()

    def _perform(self, name: str, spawner: Spawner, action: messages.Action) -> None:
        match action:
            case messages.Prepare(generation):
                spawner.prepare(generation)
            case messages.Discard(generation):
                spawner.discard(generation)
            case messages.Spawn(key, wid, generation):
                spawner.spawn(key, wid, generation)
            case messages.Drain(key, grace):
                spawner.drain(key, grace)
            case messages.Kill(key):
                spawner.kill(key)
            case messages.Report(key, reason):
                spawner.report(key, reason)
                self._publish(name, action)
            case _:
                self._publish(name, action)

    def _set_timer(self, name: str, entry: _Entry) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None
        when = entry.machine.wake_at()
        if when is not None:
            # asyncio's clock is time.monotonic(), so the machine's times are the loop's times.
            loop = asyncio.get_running_loop()
            entry.timer = loop.call_at(when, self.feed, name, messages.Tick())

    # ---- the one timer: is anybody stuck?

    def _keep_looking(self) -> None:
        if self._look_timer is None and any(entry.machine.processes for entry in self._entries.values()):
            self._look_timer = asyncio.get_running_loop().call_later(1.0, self._look)

    def _look(self) -> None:
        self._look_timer = None
        for entry in list(self._entries.values()):
            entry.spawner.look_for_late()
        self._keep_looking()
