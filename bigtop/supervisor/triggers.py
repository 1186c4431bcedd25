# What starts, stops and replaces processes without anybody's command: connections, clocks, memory.
#
# Rules: a trigger only feeds the event that a person could have caused. Nothing is watched for a watcher that
# does not ask for it. Memory is summed in a thread, since reading /proc takes its time.

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bigtop.supervisor import messages, tree
from bigtop.supervisor.agenda import Appointment
from bigtop.supervisor.demand import Demand
from bigtop.supervisor.expansion import sockets_named
from bigtop.supervisor.machine import Watcher
from bigtop.supervisor.processtable import State
from bigtop.supervisor.spec import Command, WatcherSpec

MEMORY_SECONDS = 5.0


@dataclass(slots=True)
class Triggers:
    """Event loop only. `sockets` are descriptors by name; `watchers` all that are there."""

    feed: Callable[[str, messages.Event], None]
    start: Callable[[str], None]  # now, with everything that a start takes
    sockets: Callable[[], Mapping[str, int]]
    watchers: Callable[[], Mapping[str, Watcher]]
    _demands: dict[str, Demand]
    _appointments: dict[str, Appointment]
    _memory: asyncio.Task[None] | None = None

    @staticmethod
    def applies(spec: WatcherSpec) -> bool:
        """Whether it is not a command that starts this watcher."""
        return spec.lifetime.on_demand or bool(spec.lifetime.schedule)

    def arm(self, spec: WatcherSpec) -> None:
        name = spec.name
        if name in self._demands or name in self._appointments:
            return
        if spec.lifetime.on_demand:
            self._demands[name] = Demand(
                self._descriptors(spec),
                spec.lifetime.idle_stop,
                lambda: self.start(name),
                lambda: self.feed(name, messages.Stop()),
            )
        if spec.lifetime.schedule:
            self._appointments[name] = Appointment(spec.lifetime.schedule, lambda: self.start(name))

    def disarm(self, name: str) -> None:
        for trigger in (self._demands.pop(name, None), self._appointments.pop(name, None)):
            if isinstance(trigger, Demand):
                trigger.close()
            elif trigger is not None:
                trigger.cancel()

    def armed(self, name: str) -> bool:
        return name in self._demands or name in self._appointments

    def stopped(self, name: str) -> None:
        if name in self._demands:
            self._demands[name].stopped()

    def close(self) -> None:
        for name in {*self._demands, *self._appointments}:
            self.disarm(name)
        if self._memory is not None:
            self._memory.cancel()

    def _descriptors(self, spec: WatcherSpec) -> list[int]:
        every = self.sockets()
        named = {*spec.sockets}
        if isinstance(spec.target, Command):
            named |= every.keys() if spec.target.all_sockets else sockets_named(spec.target)
        return [fd for name, fd in every.items() if name in named]

    # ---- memory

    def weigh(self) -> None:
        """Keep weighing while there is a watcher with a limit."""
        limited = any(watcher.spec.lifetime.max_rss for watcher in self.watchers().values())
        if limited and (self._memory is None or self._memory.done()):
            self._memory = asyncio.create_task(self._keep_weighing())

    async def _keep_weighing(self) -> None:
        while True:
            await asyncio.sleep(MEMORY_SECONDS)
            limits = {
                (name, key): (proc.pid, watcher.spec.lifetime.max_rss)
                for name, watcher in self.watchers().items()
                for key, proc in watcher.processes.items()
                if watcher.spec.lifetime.max_rss and proc.pid and proc.state is State.READY
            }
            if not any(watcher.spec.lifetime.max_rss for watcher in self.watchers().values()):
                return
            used = await asyncio.to_thread(tree.memory, [pid for pid, _limit in limits.values()])
            for (name, key), (pid, limit) in limits.items():
                if used[pid] > limit:
                    reason = f"{used[pid] / 1e6:.0f} MB in use, more than {limit / 1e6:.0f} MB"
                    self.feed(name, messages.Retiring(key, reason))
