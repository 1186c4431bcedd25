# Canaries of an application: how new workers are asked, watched and warmed up.
#
# Rules: no policy. A request to a worker goes over a pair of sockets, of which the worker is given one end on
# its lifeline: it is for that worker alone, and no client has a part in it.

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Mapping
from functools import partial

from bigtop.ipc import lifeline
from bigtop.ipc.scoreboard import View, Word
from bigtop.log import logger as get_logger
from bigtop.supervisor.policy.deploys.comparison import Counters
from bigtop.supervisor.policy.deploys.deploy import DeployPolicy
from bigtop.supervisor.processes import checks
from bigtop.supervisor.processes.checks import CheckError, Started, Streams
from bigtop.supervisor.processes.workers.forkservers import ForkServers

logger = get_logger("bigtop.supervisor")

Tell = Callable[[int, lifeline.Message, tuple[int, ...]], None]


class WorkerCanaries:
    """Of one pool. `tell` sends a message with descriptors to a worker, `slots` are those of all workers; by
    key. Event loop only."""

    def __init__(self, tell: Tell, slots: Callable[[], Mapping[int, View]], servers: ForkServers) -> None:
        self._tell = tell
        self._slots = slots
        self._servers = servers

    async def reach(self, key: int, scheme: str, place: str) -> Streams:
        """Return a connection to a worker; it is closed at once if that one is gone. OSError: there is no
        descriptor for it."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            self._tell(key, lifeline.Probe(scheme), (theirs.fileno(),))
        return await checks.connected(ours)

    def share_with(self, key: int) -> None:
        """Have the others let idle connections go to a new worker: clients that stay would never see it."""
        for other in self._slots():
            if other != key:
                self._tell(other, lifeline.Share(), ())

    def counters(self) -> dict[int, Counters]:
        now = time.monotonic_ns()
        return {key: _counted(slot, now) for key, slot in self._slots().items()}

    async def start(self, generation: int, command: str) -> Started:
        return checks.started(self._servers.check_program(generation, command))


def _counted(slot: View, now: int) -> Counters:
    words = slot.words
    running = tuple(max(0, now - record.began) / 1e9 for record in slot.running())
    return Counters(words[Word.REQUESTS], words[Word.ERRORS], slot.latencies(), running)


class WarmUp:
    """Asks new workers what `policy` says before they are ready. Event loop only."""

    def __init__(self, canaries: WorkerCanaries) -> None:
        self.policy = DeployPolicy()
        self._canaries = canaries
        self._tasks: dict[int, asyncio.Task[None]] = {}

    @property
    def is_wanted(self) -> bool:
        return bool(self.policy.warm_up)

    def begin(self, key: int, wid: int, done: Callable[[int], None]) -> None:
        """Ask a worker, then call `done`; neither once it has ended."""
        task = self._tasks[key] = asyncio.create_task(self._ask(key, wid))
        task.add_done_callback(partial(self._done, key, done))

    def end(self, key: int) -> None:
        if (task := self._tasks.pop(key, None)) is not None:
            task.cancel()

    def _done(self, key: int, done: Callable[[int], None], task: asyncio.Task[None]) -> None:
        if self._tasks.pop(key, None) is task:
            done(key)

    async def _ask(self, key: int, wid: int) -> None:
        """What it answers is for health checks to judge."""
        for check in self.policy.warm_up:
            scheme, host, path = checks.place(check, self.policy.scheme)
            try:
                streams = await self._canaries.reach(key, scheme, host)
                await checks.health(check, host, path, self.policy.headers, streams)
            except (OSError, CheckError) as error:
                logger.warning("worker %d: warm-up: %s", wid, error)
