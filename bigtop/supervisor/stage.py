# Where the decisions of the machines are performed.
#
# Rule 1: every change of a watcher's state goes through Stage.feed(): an event in, actions performed, notices
# published. That is where to set the breakpoint. Rule 2: nothing here blocks and nothing here decides;
# watchers never wait for each other.

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from bigtop.errors import CommandError
from bigtop.supervisor import messages
from bigtop.supervisor.entry import Entry, Spawner
from bigtop.supervisor.hooks import ArbiterView, Hooks, WatcherView
from bigtop.supervisor.machine import Watcher
from bigtop.supervisor.spec import WatcherSpec

# What processes tell. Of a thousand that start or end together it comes a thousand times at once, and what
# follows is found out once for all of them, before the event loop waits again.
OFTEN = (messages.Spawned, messages.Ready, messages.Exited)

Publish = Callable[[str, messages.Notice], None]
Feed = Callable[[messages.Event], None]
MakeSpawner = Callable[[WatcherSpec, Feed], Spawner]


class Stage:
    """All watchers by name. Event loop only."""

    def __init__(self, publish: Publish, make_spawner: MakeSpawner) -> None:
        self.publish = publish
        self.entries: dict[str, Entry] = {}
        self._make_spawner = make_spawner
        self._keys = itertools.count(1)
        self._events: deque[tuple[str, messages.Event]] = deque()
        self._feeding = False
        self._look_timer: asyncio.TimerHandle | None = None
        self._abandoned: list[Entry] = []  # of watchers that were removed without a stop
        self._tasks: set[asyncio.Task[None]] = set()  # hooks under way

    def enter(self, spec: WatcherSpec) -> None:
        """Take in a stopped watcher."""
        name = spec.name
        machine = Watcher(spec, self._keys)
        feed, hear = partial(self.feed, name), partial(self.hear, name)
        hooks = Hooks(spec.hooks, lambda: (_view(machine), ArbiterView(tuple(self.entries))), hear)
        spawner = self._make_spawner(spec, feed)
        self.entries[name] = Entry(machine, spawner, hooks, feed, hear, self.later)

    def leave(self, name: str) -> None:
        """Forget a watcher; its processes, if there are any, go on."""
        entry = self.entries.pop(name)
        entry.cancel_timer()
        self._abandoned = [one for one in self._abandoned if one.spawner.pids()]
        if entry.machine.processes:
            self._abandoned.append(entry)

    def entry(self, name: str) -> Entry:
        if name not in self.entries:
            raise CommandError(f"program {name} not found")
        return self.entries[name]

    def watcher(self, name: str) -> Watcher:
        return self.entry(name).machine

    def machines(self) -> dict[str, Watcher]:
        return {name: entry.machine for name, entry in self.entries.items()}

    @property
    def names(self) -> list[str]:
        return list(self.entries)

    def pids(self) -> set[int]:
        entries = [*self.entries.values(), *self._abandoned]
        return {pid for entry in entries for pid in entry.spawner.pids() | entry.hooks.pids}

    def feed(self, name: str, event: messages.Event) -> None:
        """The choke point. An event that comes up while another is performed waits for its turn."""
        self._events.append((name, event))
        if self._feeding:
            return
        self._feeding = True
        try:
            while self._events:
                name, event = self._events.popleft()
                if name in self.entries:
                    self._step(name, self.entries[name], event)
        finally:
            self._feeding = False

    def hear(self, name: str, notice: messages.Notice) -> None:
        """Every notice passes here."""
        self.publish(name, notice)

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` beside everything else."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _step(self, name: str, entry: Entry, event: messages.Event) -> None:
        news = entry.news(event)
        if news is not None:
            self.hear(name, news)
        for action in entry.machine.take(event, time.monotonic()):
            entry.perform(action)
        if isinstance(event, OFTEN):
            if not entry.concludes:
                entry.concludes = True
                asyncio.get_running_loop().call_soon(self.feed, name, messages.Tick())
            return
        entry.concludes = False
        for action in entry.machine.converge(time.monotonic()):
            entry.perform(action)
        entry.set_timer()
        self._keep_looking()
        self.stepped()

    def stepped(self) -> None:
        """An event was taken in and all that followed from it is done: for those who wait for that."""

    def _keep_looking(self) -> None:
        if self._look_timer is None and any(
            entry.spawner.timed and entry.machine.processes for entry in self.entries.values()
        ):
            self._look_timer = asyncio.get_running_loop().call_later(1.0, self._look)

    def _look(self) -> None:
        """The one timer that repeats: is anybody stuck?"""
        self._look_timer = None
        for entry in list(self.entries.values()):
            entry.spawner.look_for_late()
        self._keep_looking()


def _view(machine: Watcher) -> WatcherView:
    pids = tuple(proc.pid for proc in machine.processes.values() if proc.pid is not None)
    options = dict(machine.spec.options)
    return WatcherView(machine.spec.name, machine.status.value, machine.numprocesses, pids, options)
