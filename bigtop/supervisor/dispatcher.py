# Dispatcher: where the decisions of the watchers' machines are performed.
#
# Rule 1: every change of a watcher's state goes through Dispatcher.feed(): an event in, actions performed,
# notices published. That is where to set the breakpoint.
# Rule 2: nothing here blocks and nothing here decides; watchers never wait for each other.

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from bigtop.log import logger as get_logger
from bigtop.supervisor.hooks import ArbiterView, Hooks, WatcherView
from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.spec import WatcherSpec
from bigtop.supervisor.policy.watcher import Watcher
from bigtop.supervisor.runtime import ProcessPool, WatcherRuntime, Watchers

logger = get_logger("bigtop.supervisor")

# What processes tell. Of a thousand that start or end together it comes a thousand times at once, and what
# follows is found out once for all of them, before the event loop waits again.
OFTEN = (messages.Spawned, messages.SpawnFailed, messages.Ready, messages.Exited)

Hear = Callable[[str, messages.Notice], None]
Feed = Callable[[messages.Event], None]
MakePool = Callable[[WatcherSpec, Feed], ProcessPool]


class Dispatcher:
    """Event loop only.

    `hear` is told every notice; `stepped` is called when an event was taken in and all that followed from it
    is done.
    """

    def __init__(
        self, watchers: Watchers, make_pool: MakePool, hear: Hear, stepped: Callable[[], None]
    ) -> None:
        self._watchers = watchers
        self._make_pool = make_pool
        self._hear = hear
        self.stepped = stepped
        self._keys = itertools.count(1)
        self._events: deque[tuple[str, messages.Event]] = deque()
        self._feeding = False
        self._look_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def enter(self, spec: WatcherSpec) -> None:
        """Take in a stopped watcher."""
        name = spec.name
        machine = Watcher(spec, self._keys)
        feed, hear = partial(self.feed, name), partial(self._hear, name)
        hooks = Hooks(spec.hooks, lambda: (_view(machine), ArbiterView(tuple(self._watchers.names))), hear)
        pool = self._make_pool(spec, feed)
        self._watchers.runtimes[name] = WatcherRuntime(machine, pool, hooks, feed, hear)

    def next_key(self) -> int:
        """Return a key that no process had, and none will have."""
        return next(self._keys)

    def begin_keys(self, first: int) -> None:
        """Give keys from `first` on; before any watcher is entered."""
        self._keys = itertools.count(first)

    @property
    def works(self) -> bool:
        """Whether anything is done beside everything else."""
        return bool(self._tasks)

    @property
    def is_busy(self) -> bool:
        """Whether an event is being taken in, or waits for that."""
        return self._feeding or bool(self._events)

    def feed(self, name: str, event: messages.Event) -> None:
        """The choke point. An event that comes up while another is performed waits for its turn."""
        self._events.append((name, event))
        if self._feeding:
            return
        self._feeding = True
        try:
            while self._events:
                name, event = self._events.popleft()
                if name in self._watchers:
                    self._step(name, self._watchers.runtimes[name], event)
                else:  # a hook of a watcher that is gone was over
                    self.stepped()
        finally:
            self._feeding = False

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` beside everything else."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _step(self, name: str, runtime: WatcherRuntime, event: messages.Event) -> None:
        news = runtime.news(event)
        if news is not None:
            self._hear(name, news)
        for action in runtime.machine.take(event, time.monotonic()):
            runtime.perform(action)
        if isinstance(event, OFTEN):
            if not runtime.concludes:
                runtime.concludes = True
                asyncio.get_running_loop().call_soon(self.feed, name, messages.Tick())
            return
        runtime.concludes = False
        for action in runtime.machine.converge(time.monotonic()):
            runtime.perform(action)
        runtime.set_timer()
        self._keep_looking()
        self.stepped()

    def _keep_looking(self) -> None:
        if self._look_timer is None and any(
            runtime.pool.timed and runtime.machine.processes for runtime in self._watchers.runtimes.values()
        ):
            self._look_timer = asyncio.get_running_loop().call_later(1.0, self._look)

    def _look(self) -> None:
        """The one timer that repeats: is anybody stuck?"""
        self._look_timer = None
        for name, runtime in list(self._watchers.runtimes.items()):
            try:
                runtime.pool.look_for_late()
            except Exception:  # of one watcher: the others are looked at, now and later
                logger.exception("%s: cannot see whether anybody is stuck", name)
        self._keep_looking()


def _view(machine: Watcher) -> WatcherView:
    pids = tuple(proc.pid for proc in machine.processes.values() if proc.pid is not None)
    options = dict(machine.spec.options)
    return WatcherView(machine.spec.name, machine.status.value, machine.numprocesses, pids, options)
