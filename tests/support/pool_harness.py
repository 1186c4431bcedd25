# A place where watchers run for a test: a real event loop, real processes, everything that is told kept.

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable

from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.spec import Command, WatcherSpec
from bigtop.supervisor.processes import descendants
from bigtop.supervisor.processes.child import reap_strangers
from bigtop.supervisor.processes.commands.command_pool import CommandPool, PoolServices
from bigtop.supervisor.processes.commands.launcher_client import LauncherClient
from bigtop.supervisor.processes.commands.spawner import Spawner
from bigtop.supervisor.streams.formats import Chunk
from bigtop.supervisor.streams.writer import Outputs
from bigtop.system import kernel

DEADLINE = 30.0
PYTHON = sys.executable
ENV = (("PATH", os.environ["PATH"]),)


async def until(condition: Callable[[], object], what: str, timeout: float = DEADLINE) -> None:
    """Let the loop run until `condition()` is true; fail saying `what` was waited for."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout:g} s in vain for {what}")
        await asyncio.sleep(0.005)


def lives(pid: int) -> bool:
    return bool(descendants.named([pid]))


class PoolHarness:
    """What commands need around them, and what they said. Use within run()."""

    def __init__(self, soft_limit: int = 0) -> None:
        self.launcher = LauncherClient(soft_limit)
        self.sockets: dict[str, int] = {}
        self.written: dict[str, bytes] = {"stdout": b"", "stderr": b""}
        self.notices: list[tuple[str, messages.Notice]] = []
        self.complaints: list[tuple[str, str]] = []
        self.outputs = Outputs(lambda name, problem: self.complaints.append((name, problem)))
        self.outputs.follow("job", self._write)
        self.services = PoolServices(
            Spawner(self.launcher, lambda _spec, _own: self.sockets), self.outputs, self._tell
        )
        self.more_pids: Callable[[], set[int]] = set
        self._pools: list[Pool] = []

    def _write(self, chunk: Chunk) -> None:
        self.written[chunk.which] += chunk.lines

    def _tell(self, name: str, notice: messages.Notice) -> None:
        self.notices.append((name, notice))

    def pool(self, spec: WatcherSpec) -> Pool:
        pool = Pool(spec, self.services)
        self._pools.append(pool)
        return pool

    def reap(self) -> None:
        known = {pid for pool in self._pools for pid in pool.pool.pids()} | self.launcher.pids
        known |= self.more_pids()
        if not self.launcher.launching:
            reap_strangers(known.__contains__)

    def end(self) -> None:
        assert self.outputs.end(DEADLINE), "the writer hangs"
        self.launcher.close()
        for pid in descendants.children(os.getpid()):
            if pid not in _FOREIGN:
                for one in [*descendants.descendants(pid), *descendants.named([pid])]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(one.pid, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)


_FOREIGN: set[int] = set()


def run(play: Callable[[PoolHarness], Awaitable[None]], soft_limit: int = 0) -> None:
    """Run `play` in a harness; whatever is left in the end is ended."""
    _FOREIGN.update(descendants.children(os.getpid()))
    assert kernel.become_subreaper()

    async def main() -> None:
        pools = PoolHarness(soft_limit)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, pools.reap)
        try:
            await play(pools)
        finally:
            loop.remove_signal_handler(signal.SIGCHLD)
            pools.end()

    asyncio.run(main())


class Pool:
    """A CommandPool with its events."""

    def __init__(self, spec: WatcherSpec, services: PoolServices) -> None:
        self.events: list[messages.Event] = []
        self.pool = CommandPool(spec, self.events.append, services)
        self.pool.prepare(1)
        self._key = 0

    def spawn(self, wid: int = 1) -> int:
        self._key += 1
        self.pool.spawn(self._key, wid, 1)
        return self._key

    def pid(self, key: int) -> int:
        return next(e.pid for e in self.events if isinstance(e, messages.Spawned) and e.key == key)

    async def spawned(self, wid: int = 1) -> tuple[int, int]:
        """Return the key and the number of a new process."""
        key = self.spawn(wid)
        await until(lambda: self.has(messages.Spawned, key) or self.failures(), "the spawn")
        assert not self.failures()
        return key, self.pid(key)

    async def ended(self, key: int = 1) -> messages.ExitStatus:
        await until(lambda: self.has(messages.Exited, key), f"the end of process {key}")
        return next(e.status for e in self.events if isinstance(e, messages.Exited) and e.key == key)

    async def failed(self) -> str:
        await until(self.failures, "a failed spawn")
        return self.failures()[0]

    def failures(self) -> list[str]:
        return [event.reason for event in self.events if isinstance(event, messages.SpawnFailed)]

    def has(self, kind: type, key: int) -> bool:
        return any(isinstance(event, kind) and event.key == key for event in self.events)


def python(code: str, *args: str) -> tuple[str, tuple[str, ...]]:
    """Return `cmd` and `args` that run `code`."""
    return PYTHON, ("-S", "-c", code, *args)


def command(code: str, *args: str, **more: object) -> Command:
    cmd, words = python(code, *args)
    return Command(cmd, words, **more)  # type: ignore[arg-type]
