# Triggers: connections, clocks and memory start, stop and replace processes without anybody's command.
#
# Rules: a trigger only feeds the event that a person could have caused. Nothing is watched for a watcher that
# does not ask for it. Memory is summed in a thread, since reading /proc takes its time.

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from bigtop.log import logger as get_logger
from bigtop.record import Record
from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.processtable import ProcessState
from bigtop.supervisor.policy.spec import Command, Lifetime, WatcherSpec
from bigtop.supervisor.policy.watcher import Watcher
from bigtop.supervisor.processes import descendants

if TYPE_CHECKING:  # imported for those who have them
    from bigtop.supervisor.cron import Appointment
    from bigtop.supervisor.socket_activation import Demand

logger = get_logger("bigtop.supervisor")

MEMORY_SECONDS = 5.0


class Triggers(Record, frozen=False):
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

    def arm(self, spec: WatcherSpec, due: float | None = None) -> None:
        """Watch for what starts it; `due` is the next moment of a schedule, where that is known."""
        name = spec.name
        if name in self._demands or name in self._appointments:
            return
        if spec.lifetime.on_demand:
            from bigtop.supervisor.socket_activation import Demand

            self._demands[name] = Demand(
                self._descriptors(spec),
                spec.lifetime.idle_stop,
                lambda: self.start(name),
                lambda: self.feed(name, messages.Stop()),
            )
        if spec.lifetime.schedule:
            from bigtop.supervisor.cron import Appointment

            self._appointments[name] = Appointment(spec.lifetime.schedule, lambda: self.start(name), due)

    def due(self) -> dict[str, float]:
        """Return when those with a schedule are due next, in seconds since the epoch."""
        return {name: one.due.timestamp() for name, one in self._appointments.items()}

    def resume(self, spec: WatcherSpec, *, runs: bool, due: float | None = None) -> None:
        """Arm what was armed before."""
        self.arm(spec, due)
        if runs and spec.name in self._demands:
            self._demands[spec.name].runs()

    def disarm(self, name: str) -> None:
        if demand := self._demands.pop(name, None):
            demand.close()
        if appointment := self._appointments.pop(name, None):
            appointment.cancel()

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
        from bigtop.supervisor.policy.variables import sockets_named

        every = self.sockets()
        named = {*spec.sockets}
        if isinstance(spec.target, Command):
            named |= every.keys() if spec.target.all_sockets else sockets_named(spec.target)
        return [fd for name, fd in every.items() if name in named]

    # ---- memory

    def weigh(self) -> None:
        """Keep weighing while there is a watcher with a limit."""
        if self._is_limited() and (self._memory is None or self._memory.done()):
            self._memory = asyncio.create_task(self._keep_weighing())

    async def _keep_weighing(self) -> None:
        while True:
            await asyncio.sleep(MEMORY_SECONDS)
            if not self._is_limited():
                return
            await self._retire(descendants.memory, lambda lifetime: lifetime.max_rss)
            await self._retire(descendants.share_of_memory, lambda lifetime: lifetime.max_pss)

    async def _retire(self, measure: Callable[[int], int], limit_of: Callable[[Lifetime], int]) -> None:
        """Have those replaced that have more than their limit."""
        limits = {
            (name, key): (proc.pid, limit)
            for name, watcher in self.watchers().items()
            for key, proc in watcher.processes.items()
            if (limit := limit_of(watcher.spec.lifetime)) and proc.pid and proc.state is ProcessState.READY
        }
        if not limits:
            return
        used = await asyncio.to_thread(lambda: {pid: measure(pid) for pid, _limit in limits.values()})
        for (name, key), (pid, limit) in limits.items():
            if used[pid] > limit:
                reason = f"{used[pid] / 1e6:.0f} MB in use, more than {limit / 1e6:.0f} MB"
                proc = self.watchers()[name].processes.get(key) if name in self.watchers() else None
                if proc is not None and proc.retiring is None:
                    logger.info("%s: process %d (pid %d) is replaced: %s", name, proc.wid, pid, reason)
                self.feed(name, messages.Retiring(key, reason, messages.Ending.MAX_RSS))

    def _is_limited(self) -> bool:
        lifetimes = [watcher.spec.lifetime for watcher in self.watchers().values()]
        return any(lifetime.max_rss or lifetime.max_pss for lifetime in lifetimes)
