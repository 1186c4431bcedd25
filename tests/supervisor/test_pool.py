# Workers between the order to fork them and the answer, with a real fork server.

from __future__ import annotations

import os
import select
from collections.abc import Awaitable, Callable

from bigtop.ipc import seats
from bigtop.ipc.board import Scoreboard
from bigtop.supervisor.policy.messages import Event, Exited, ExitStatus, GenerationReady, Spawned
from bigtop.supervisor.policy.spec import Worker
from bigtop.supervisor.processes.workers.forkserver import InheritedState
from bigtop.supervisor.processes.workers.worker_pool import WorkerPool
from bigtop.workers.bootstrap import Bootstrap
from tests.support.pool_harness import DEADLINE, PoolHarness, run, until
from tests.support.site import ROOT


def with_pool(play: Callable[[WorkerPool, list[Event]], Awaitable[None]]) -> None:
    """Run `play` with a pool whose fork server is loaded, and the list that its events go to."""

    async def main(pools: PoolHarness) -> None:
        fd = seats.create()
        board = Scoreboard(seats.Seats(fd))
        events: list[Event] = []
        orders = Bootstrap("site", "tests.apps.site:app", False, None, None, "on", (), fd)
        inherited = InheritedState(
            "site", orders.encode(), (fd,), {**os.environ, "PYTHONPATH": str(ROOT)}, "."
        )
        patient = Worker(b"", timeout=0)
        pool = WorkerPool(
            events.append, inherited, board, patient, lambda: lambda _lines: None, lambda _key, _loaded: None
        )
        pools.more_pids = pool.pids
        pool.prepare(1)
        try:
            await until(lambda: events, "the fork server")
            assert events == [GenerationReady(1)]
            await play(pool, events)
        finally:
            pool.discard(1)
            await until(lambda: not pool.pids(), "the end of the fork server")
            os.close(fd)

    run(main)


def spawn_unnoticed(pool: WorkerPool) -> None:
    """Have worker 1 forked, and return when it has reported but nobody has read that."""
    pool.spawn(1, 1, 1)
    unborn = pool.servers.unborn(1)
    assert unborn is not None
    assert select.select([unborn.line], [], [], DEADLINE)[0], "the worker does not report"


def test_a_worker_that_was_asked_to_leave_before_it_was_known_does() -> None:
    async def play(pool: WorkerPool, events: list[Event]) -> None:
        spawn_unnoticed(pool)
        pool.drain(1, 30.0)
        await until(lambda: Exited(1, ExitStatus(code=0)) in events, "the end of the worker")

    with_pool(play)


def test_a_worker_that_was_killed_before_it_was_known_is() -> None:
    async def play(pool: WorkerPool, events: list[Event]) -> None:
        spawn_unnoticed(pool)
        pool.kill(1, "a test")
        await until(lambda: Exited(1, ExitStatus(signal=9)) in events, "the end of the worker")
        assert any(isinstance(event, Spawned) for event in events)

    with_pool(play)
