# Autoscaling: looks once a second at what the processes of watchers with bounds do, and changes their number.
#
# Rules: it decides nothing (policy/scaling.py), and costs nothing where no watcher has bounds. While
# processes are replaced, or start for the first time, nothing is judged.

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from bigtop.log import logger as get_logger
from bigtop.record import Record
from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.processtable import ProcessState
from bigtop.supervisor.policy.scaling import Decision, Explanation, Sample, ScaleCommand, Scaler, Work
from bigtop.supervisor.policy.watcher import Status, Watcher
from bigtop.supervisor.processes import checks, descendants
from bigtop.supervisor.processes.checks import CheckError
from bigtop.supervisor.runtime import WatcherRuntime

logger = get_logger("bigtop.supervisor")

_PACE: Final = 1.0  # seconds
_LAST: Final = 16  # pieces of what a command printed, which are kept
_MOST: Final = 1 << 20  # bytes that it may print: to read on would take all of our time


class _Question(Record, frozen=False):
    """A command that was asked for a number."""

    asked: float
    task: asyncio.Task[None]
    failure: str = ""  # what was said last of its failures


class Autoscaling(Record, frozen=False):
    """Event loop only. `runtimes` are all watchers; `feed` takes events for one, `hear` notices of it."""

    feed: Callable[[str, messages.Event], None]
    hear: Callable[[str, messages.Notice], None]
    runtimes: Mapping[str, WatcherRuntime]
    _scalers: dict[str, Scaler]
    _before: dict[str, tuple[float, Mapping[int, Work]]]
    _questions: dict[str, _Question]
    _task: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """Keep looking while there is a watcher with bounds."""
        if self._bounded() and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._keep_looking())

    def close(self) -> None:
        for task in (self._task, *(one.task for one in self._questions.values())):
            if task is not None:
                task.cancel()

    def explain(self, name: str) -> Explanation | None:
        """Return what there is to say of a watcher's number; None: it has no bounds."""
        bounds = self.runtimes[name].machine.spec.scaling
        if bounds is None:
            return None
        scaler = self._scalers.get(name)
        if scaler is None:
            return Explanation(bounds, "", ())
        now = asyncio.get_running_loop().time()
        return Explanation(bounds, scaler.held, tuple((now - one.at, one) for one in scaler.told))

    def _bounded(self) -> list[str]:
        return [name for name, runtime in self.runtimes.items() if runtime.machine.spec.scaling is not None]

    async def _keep_looking(self) -> None:
        while names := self._bounded():
            for name in names:
                await self._look(name)
            for gone in self._scalers.keys() - self.runtimes.keys():
                del self._scalers[gone]
                self._before.pop(gone, None)
            for gone in self._questions.keys() - self.runtimes.keys():
                self._questions.pop(gone).task.cancel()
            await asyncio.sleep(_PACE)

    async def _look(self, name: str) -> None:
        runtime = self.runtimes.get(name)
        bounds = runtime.machine.spec.scaling if runtime is not None else None
        if runtime is None or bounds is None:  # it went, or lost them, while another one was looked at
            return
        machine = runtime.machine
        scaler = self._scalers.get(name)
        if scaler is None or scaler.bounds != bounds:
            scaler = self._scalers[name] = Scaler(bounds)
        if machine.status is not Status.ACTIVE or _is_replaced(machine):
            scaler.forget()
            if machine.generations.stalls(machine.numprocesses):
                scaler.held = "its fork server died, so none can be started before there is another one"
            self._before.pop(name, None)
            return
        if machine.spec.scale_command is not None:
            self._ask(name, runtime, scaler, machine.spec.scale_command)
            return
        sample = self._sample(name, runtime)
        if sample is None:
            return
        if sample.is_saturated:
            sample = sample.with_memory(*await _memory_for(machine))
            if not self._still_concerns(runtime, scaler):
                return
        self._decided(name, machine, scaler.decide(sample, machine.numprocesses))

    def _decided(self, name: str, machine: Watcher, decision: Decision | None) -> None:
        if decision is not None:
            self.hear(name, messages.Scaled(machine.numprocesses, decision.wanted, decision.reason))
            self.feed(name, messages.Scale(decision.wanted))

    def _still_concerns(self, runtime: WatcherRuntime, scaler: Scaler) -> bool:
        """Whether a watcher that was looked at a moment ago is there still, with these bounds, and whole."""
        machine = runtime.machine
        same = self.runtimes.get(machine.spec.name) is runtime and machine.spec.scaling == scaler.bounds
        return same and machine.status is Status.ACTIVE and not _is_replaced(machine)

    # ---- where a command says how many

    def _ask(self, name: str, runtime: WatcherRuntime, scaler: Scaler, scale: ScaleCommand) -> None:
        """Have the command asked, unless it was a moment ago. Nobody waits for the answer."""
        now = asyncio.get_running_loop().time()
        last = self._questions.get(name)
        if last is None or (last.task.done() and now - last.asked >= scale.interval):
            task = asyncio.create_task(self._obey(name, runtime, scaler, scale))
            self._questions[name] = _Question(now, task, last.failure if last is not None else "")

    async def _obey(self, name: str, runtime: WatcherRuntime, scaler: Scaler, scale: ScaleCommand) -> None:
        machine = runtime.machine
        try:
            count = await _asked(runtime, scale)
        except (OSError, CheckError, ValueError) as error:
            self._failed(name, scaler, str(error))
            return
        self._questions[name].failure = ""
        room, size = await _memory_for(machine)
        if self._still_concerns(runtime, scaler):
            now = asyncio.get_running_loop().time()
            self._decided(name, machine, scaler.obey(now, count, machine.numprocesses, room, size))

    def _failed(self, name: str, scaler: Scaler, reason: str) -> None:
        """The number stays; that is said once, and to whom asks why."""
        scaler.held, question = reason, self._questions[name]
        if reason != question.failure:
            question.failure = reason
            logger.warning("%s: the number of processes stays: %s", name, reason)

    def _sample(self, name: str, runtime: WatcherRuntime) -> Sample | None:
        """Return what was seen since the last look; None where nobody was there both times."""
        now = asyncio.get_running_loop().time()
        ready = {
            key
            for key, proc in runtime.machine.processes.items()
            if proc.state is ProcessState.READY and proc.asked is None
        }
        work = {key: one for key, one in runtime.pool.work().items() if key in ready}
        before = self._before.get(name)
        self._before[name] = now, work
        if before is None:
            return None
        return Sample.between(now, now - before[0], before[1], work)


def _is_replaced(machine: Watcher) -> bool:
    """Whether there are processes of two generations, or who ends now would have no successor."""
    stalls = machine.generations.stalls(machine.numprocesses)
    return stalls or len({proc.generation for proc in machine.processes.values()}) > 1


async def _asked(runtime: WatcherRuntime, scale: ScaleCommand) -> int:
    """Return what a command prints. OSError, CheckError, ValueError: it cannot be had."""
    printed: deque[bytes] = deque(maxlen=_LAST)
    machine = runtime.machine
    begun = await runtime.pool.canaries.start(machine.generation, scale.command)
    who = f"{machine.spec.name}: scale command"
    await checks.command(scale.command, begun, scale.interval, who, printed.append, _MOST)
    return scale.number(b"".join(printed).decode("utf-8", "replace"))


async def _memory_for(machine: Watcher) -> tuple[int | None, int]:
    return await asyncio.to_thread(_memory, [proc.pid for proc in machine.processes.values() if proc.pid])


def _memory(pids: list[int]) -> tuple[int | None, int]:
    """Return the bytes that are left, None where nobody knows, and those that one more process would take: as
    many as the largest of `pids` has for itself. Any thread."""
    return _room(), max(map(descendants.share_of_memory, pids), default=0)


def _room() -> int | None:
    with contextlib.suppress(OSError), open("/proc/meminfo") as file:
        if found := re.search(r"^MemAvailable:\s+(\d+) kB$", file.read(), re.MULTILINE):
            return min([int(found[1]) * 1024, *_group_room()])
    return None


def _group_room() -> list[int]:
    """Return what our control group leaves, as far as it has a limit."""
    from bigtop.system import oom  # here: it is looked for where something is to grow

    limit, used = oom.memory_of_group()
    return [limit - used] if limit is not None else []
