# Autoscaling: looks once a second at what the processes of watchers with bounds do, and changes their number.
#
# Rule: it decides nothing (policy/scaling.py), and costs nothing where no watcher has bounds. While processes
# are replaced, or start for the first time, nothing is judged.

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping
from typing import Final

from bigtop.record import Record
from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.processtable import ProcessState
from bigtop.supervisor.policy.scaling import Explanation, Sample, Scaler, Work
from bigtop.supervisor.policy.watcher import Status, Watcher
from bigtop.supervisor.processes import descendants
from bigtop.supervisor.runtime import WatcherRuntime

_PACE: Final = 1.0  # seconds


class Autoscaling(Record, frozen=False):
    """Event loop only. `runtimes` are all watchers; `feed` takes events for one, `hear` notices of it."""

    feed: Callable[[str, messages.Event], None]
    hear: Callable[[str, messages.Notice], None]
    runtimes: Mapping[str, WatcherRuntime]
    _scalers: dict[str, Scaler]
    _before: dict[str, tuple[float, Mapping[int, Work]]]
    _task: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """Keep looking while there is a watcher with bounds."""
        if self._bounded() and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._keep_looking())

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

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
            self._before.pop(name, None)
            return
        sample = self._sample(name, runtime)
        if sample is None:
            return
        if sample.is_saturated:
            pids = [proc.pid for proc in machine.processes.values() if proc.pid]
            room, size = await asyncio.to_thread(_memory, pids)
            sample = sample.with_memory(room, size)
            gone = self.runtimes.get(name) is not runtime or machine.spec.scaling != bounds
            if gone or machine.status is not Status.ACTIVE or _is_replaced(machine):
                return
        wanted = machine.numprocesses
        decision = scaler.decide(sample, wanted)
        if decision is not None:
            self.hear(name, messages.Scaled(wanted, decision.wanted, decision.reason))
            self.feed(name, messages.Scale(decision.wanted))

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
    """Whether there are processes of two generations."""
    return len({proc.generation for proc in machine.processes.values()}) > 1


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
