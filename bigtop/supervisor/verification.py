# Verification: performs the steps that a canary is tried with.
#
# Rules: no decisions. One step at a time; its outcome is an event, Verified or Rejected, and the end of a
# generation is the end of what is under way for it. The order of the steps, and what a failure leads to, is
# for the machine to say.

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Protocol

from bigtop.log import logger as get_logger
from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.deploys import comparison
from bigtop.supervisor.policy.deploys.comparison import Counters
from bigtop.supervisor.policy.deploys.deploy import TCP, DeployPolicy, Step
from bigtop.supervisor.policy.spec import WatcherSpec
from bigtop.supervisor.processes import checks
from bigtop.supervisor.processes.checks import CheckError, Started, Streams

logger = get_logger("bigtop.supervisor")


_LOOK = 0.5  # seconds between two looks at the counters


class Canaries(Protocol):
    """Where canaries live: what a pool can do for their trial."""

    async def reach(self, key: int, scheme: str, place: str) -> Streams:
        """Return a connection to a canary, private to it where that is possible. OSError: there is none."""

    def share_with(self, key: int) -> None:
        """Have a process get its share of the clients that are there already."""

    def counters(self) -> dict[int, Counters]:
        """Return what each process has counted by now, by key; nothing where nobody counts."""

    async def start(self, generation: int, command: str) -> Started:
        """Start a command as, and where, processes of `generation` run. OSError: that cannot be."""


class Verifier:
    """Of one watcher. `spec` is what it is described as now. Event loop only."""

    def __init__(
        self,
        canaries: Canaries,
        spec: Callable[[], WatcherSpec],
        feed: Callable[[messages.Event], None],
    ) -> None:
        self._canaries = canaries
        self._spec = spec
        self._feed = feed
        self._generation = 0
        self._task: asyncio.Task[None] | None = None

    def begin(self, verify: messages.Verify) -> None:
        self._end()
        self._generation = verify.generation
        self._task = asyncio.create_task(self._perform(verify))

    def forget(self, generation: int) -> None:
        """It is over, for whatever reason."""
        if generation == self._generation:
            self._end()

    def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _perform(self, verify: messages.Verify) -> None:
        step, name, policy = verify.step, self._spec().name, self._spec().deploy
        try:
            how = await self._step(verify, name, policy)
        except CheckError as failure:
            self._task = None
            self._feed(messages.Rejected(verify.key, step, f"the {step.value} failed: {failure}"))
        else:
            self._task = None
            self._feed(messages.Verified(verify.key, step, how))

    def _step(self, verify: messages.Verify, name: str, policy: DeployPolicy) -> Coroutine[None, None, str]:
        match verify.step:
            case Step.HEALTH:
                return self._health(verify.key, policy)
            case Step.COMMAND:
                return self._command(verify.generation, name, policy)
            case Step.TRAFFIC:
                return self._traffic(verify.key, policy)

    async def _health(self, key: int, policy: DeployPolicy) -> str:
        seen = []
        for check in policy.health:
            scheme, host, path = checks.place(check, policy.scheme)
            try:
                async with asyncio.timeout(check.limit):
                    streams = await self._canaries.reach(key, scheme, host)
            except TimeoutError:
                raise CheckError(f"{check.text}: nobody listens within {check.limit:g} s") from None
            except OSError as error:
                raise CheckError(f"{check.text}: the canary cannot be asked: {error.strerror}") from None
            if check.method == TCP:
                streams[1].close()
                seen.append(check.text)
                continue
            seen.append(await checks.health(check, host, path, policy.headers, streams))
        return ", ".join(seen)

    async def _command(self, generation: int, name: str, policy: DeployPolicy) -> str:
        try:
            begun = await self._canaries.start(generation, policy.command)
        except OSError as error:
            raise CheckError(f"{policy.command}: cannot be started: {error.strerror}") from None
        who = f"{name}: check command of generation {generation}"
        return await checks.command(policy.command, begun, policy.command_timeout, who, self._say)

    async def _traffic(self, key: int, policy: DeployPolicy) -> str:
        """Let the canary serve for a while beside the old ones. Errors end that at once, but not slowness:
        whoever has just begun is slow."""
        before, allowed = self._canaries.counters(), policy.thresholds
        loop = asyncio.get_running_loop()
        end = loop.time() + policy.canary_time
        while True:
            self._canaries.share_with(key)
            left = end - loop.time()
            await asyncio.sleep(min(_LOOK, max(0.0, left)))
            seen = {
                one: counters.since(before[one])
                for one, counters in self._canaries.counters().items()
                if one in before
            }
            new = seen.pop(key, Counters())
            old = comparison.total(seen.values())
            if problem := comparison.errors(old, new, allowed):
                raise CheckError(problem)
            if left <= _LOOK:
                break
        if problem := comparison.times(old, new, allowed):
            raise CheckError(problem)
        if not before:
            return f"it lives after {policy.canary_time:g} s"
        return comparison.summary(old, new, allowed)

    def _say(self, lines: bytes) -> None:
        for line in lines.decode("utf-8", "replace").splitlines():
            logger.info("%s: check command: %s", self._spec().name, line)
