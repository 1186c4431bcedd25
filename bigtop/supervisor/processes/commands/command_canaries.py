# Canaries of commands: where they are asked whether they work, and what checks them runs.
#
# Rule: no policy. Nobody can give a command a connection of ours, so it is asked where it listens. Whoever
# listens there answers: where an old process may be, too, a check proves less.

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from urllib.parse import urlsplit

from bigtop.record import replace
from bigtop.supervisor.policy.deploys.comparison import Counters
from bigtop.supervisor.policy.spec import Command, Readiness, Stdio, StreamSpec, WatcherSpec
from bigtop.supervisor.processes.checks import Started, Streams
from bigtop.supervisor.processes.commands.spawner import Spawner, SpawnResult

_AGAIN = 0.1  # seconds until it is tried again where nobody listens yet
_READ = StreamSpec("check")  # by us, whatever it is called


class CommandCanaries:
    """Of one pool. `described` returns what processes of a generation are. Event loop only."""

    def __init__(self, described: Callable[[int], WatcherSpec], spawner: Spawner) -> None:
        self._described = described
        self._spawner = spawner

    async def reach(self, key: int, scheme: str, place: str) -> Streams:
        """Return a connection to where it listens, as soon as it does."""
        where = urlsplit(f"//{place}")
        while True:
            try:
                return await asyncio.open_connection(where.hostname, where.port or 80)
            except OSError:
                await asyncio.sleep(_AGAIN)

    def share_with(self, key: int) -> None:
        """Clients of a command are no business of ours."""

    def counters(self) -> dict[int, Counters]:
        return {}

    async def start(self, generation: int, command: str) -> Started:
        """Start a command as, and where, processes of `generation` run. OSError: that cannot be."""
        spec = self._described(generation)
        assert isinstance(spec.target, Command), "a pool of commands has no others"
        target = replace(  # noqa: S604 - that is what was asked for
            spec.target,
            cmd=command,
            args="",
            shell=True,
            shell_args="",
            context=replace(spec.target.context, cgroup=None),
            stdio=Stdio(stdout=_READ, stderr=_READ),
            all_sockets=False,
        )
        done: asyncio.Future[SpawnResult] = asyncio.get_running_loop().create_future()
        wanted = replace(spec, target=target, sockets=(), ready=Readiness())
        self._spawner.spawn(wanted, (0, 0), {}, done.set_result)
        result = await done
        if not result.pid:
            raise OSError(errno.ECHILD, result.reason)
        return Started(result.pid, tuple(result.pipes.values()))
