# A Supervisor with real commands for a test, and everything that it told.

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from bigtop.supervisor.dispatcher import Feed
from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.spec import Command, ExecContext, StopPolicy, WatcherSpec
from bigtop.supervisor.processes.commands.command_pool import CommandPool
from bigtop.supervisor.supervisor import Supervisor
from tests.support import pool_harness
from tests.support.pool_harness import ENV, PoolHarness, until

SLEEP = Command("sleep", "60", context=ExecContext(env=ENV))
QUICK = StopPolicy(graceful_timeout=5.0)


def watcher(name: str, target: Command = SLEEP, **more: Any) -> WatcherSpec:
    return WatcherSpec(name, target, stop=more.pop("stop", QUICK), **more)


class SupervisorHarness:
    def __init__(
        self, pools: PoolHarness, *specs: WatcherSpec, pool: type[CommandPool] = CommandPool
    ) -> None:
        self.pools = pools
        self._kind = pool
        self.told: list[tuple[str, messages.Notice]] = []
        self.supervisor = Supervisor(self._hear, self._pool, lambda: pools.sockets)
        pools.more_pids = self.supervisor.watchers.pids
        for spec in specs:
            self.supervisor.dispatcher.enter(spec)

    def _pool(self, spec: WatcherSpec, feed: Feed) -> CommandPool:
        return self._kind(spec, feed, self.pools.services)

    def _hear(self, name: str, notice: messages.Notice) -> None:
        self.told.append((name, notice))

    def pids(self, name: str) -> list[int]:
        processes = self.supervisor.watchers.machine(name).processes.values()
        return [proc.pid for proc in processes if proc.pid is not None and proc.asked is None]

    def status(self, name: str) -> str:
        return self.supervisor.watchers.machine(name).status.value

    def of(self, kind: type, name: str | None = None) -> list[Any]:
        return [notice for who, notice in self.told if isinstance(notice, kind) and name in (None, who)]

    def order(self, kind: type) -> list[str]:
        return [who for who, notice in self.told if isinstance(notice, kind)]

    async def up(self, *names: str) -> None:
        for name in names or self.supervisor.watchers.names:
            await until(lambda name=name: self.status(name) == "active", f"{name} to be active")

    async def down(self, *names: str) -> None:
        for name in names or self.supervisor.watchers.names:
            await until(lambda name=name: self.status(name) == "stopped", f"{name} to have stopped")


def perform(
    play: Callable[[SupervisorHarness], Awaitable[None]],
    *specs: WatcherSpec,
    pool: type[CommandPool] = CommandPool,
) -> None:
    """Run `play` with these watchers; all are ended afterwards."""

    async def main(place: PoolHarness) -> None:
        harness = SupervisorHarness(place, *specs, pool=pool)
        try:
            await play(harness)
        finally:
            harness.supervisor.stop(urgency=messages.Urgency.NOW)
            harness.supervisor.close()
            await harness.down()

    pool_harness.run(main)
