# The end of one command and of everything that it started.
#
# Rules: a process is over when its whole tree is, not when the process that we started is. How long anybody
# has is said by the machine: ask() begins, kill() is past the deadline. That nothing is left is looked up,
# not assumed; what cannot be ended is named to `on_gone`.
#
# A process that dies by itself leaves nothing behind either: its successor would find ports and files taken.

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from bigtop.record import Record, field
from bigtop.supervisor.policy.spec import StopPolicy
from bigtop.supervisor.processes import cgroups, descendants, killing
from bigtop.supervisor.processes.child import Process, spawn

if TYPE_CHECKING:
    from pathlib import Path

_FIRST_LOOK = 0.005
_SLOWEST_LOOK = 0.25
_PATIENCE = 5.0  # seconds after SIGKILL; longer lives only what hangs inside the kernel


class _Kill(Record, frozen=False):
    """What became necessary: since when, and why."""

    who: str
    at: float | None = None
    reason: str = ""
    told: set[descendants.Kin] = field(default_factory=set)  # of whom the log tells

    def again(self, left: list[descendants.Kin]) -> None:
        """Kill what is beside the process, also those who got it before."""
        fresh = [one for one in left if one not in self.told]
        self.told.update(fresh)
        killing.kin(fresh, f"{self.who}: what it started", self.reason)
        killing.again([one for one in left if one not in fresh])


class Ending:
    """From the first signal until all is gone. Event loop only."""

    def __init__(
        self,
        who: str,
        process: Process,
        stop: StopPolicy,
        env: Mapping[str, str],
        group: Path | None,
        on_signal: Callable[[int], None],
        on_gone: Callable[[list[int]], None],
    ) -> None:
        self._kill = _Kill(who)
        self._process = process
        self._stop = stop
        self._env = env
        self._group = group
        self._on_signal = on_signal
        self._on_gone = on_gone
        self._kin: list[descendants.Kin] = []  # seen below the process when it was asked to end
        self._deadline = 0.0  # of an ending that was asked for
        self._timers: list[asyncio.TimerHandle] = []
        self._command: Process | None = None

    @property
    def command_pid(self) -> int | None:
        """The stop command, while it runs."""
        return self._command.pid if self._command is not None and self._command.running else None

    @property
    def has_begun(self) -> bool:
        return bool(self._deadline) or self._kill.at is not None or not self._process.running

    @property
    def group(self) -> Path | None:
        return self._group

    def ask(self, grace: float, number: int | None = None) -> None:
        """Ask to end within `grace` seconds: by the signals of the stop policy, or by `number`."""
        self._cancel()
        loop = asyncio.get_running_loop()
        self._deadline = loop.time() + grace
        self._kin = descendants.descendants(self._process.pid)
        numbers = [number or self._stop.signal, *(self._stop.then if grace else ())]
        for position, each in enumerate(numbers):
            if position == 0 and number is None and grace and self._stop.command is not None:
                self._run(self._stop.command)
            elif position == 0:
                self._send(each)
            else:
                share = grace * position / len(numbers)
                self._timers.append(loop.call_later(share, self._send, each))

    def kill(self, reason: str) -> None:
        """End it all now."""
        if self._kill.at is None:
            self._kill.at = asyncio.get_running_loop().time()
            self._on_signal(signal.SIGKILL)
        self._kill.reason = reason
        self._cancel()
        if self._group is not None:
            killing.group(self._group, f"{self._kill.who} with its control group", reason)
        left = self._left()
        killing.process(self._process, self._kill.who, reason)
        self._kill.again(left)

    def leader_exited(self) -> None:
        """The process itself is gone: wait for, or end, what it left."""
        left = self._left()
        if left and asyncio.get_running_loop().time() < self._deadline:
            descendants.send(left, self._stop.signal)  # they have the rest of the time
        elif left:
            self.kill(f"process {self._process.pid}, which left it behind, is gone")
        self._conclude(left, _FIRST_LOOK)

    def _look(self, wait: float) -> None:
        self._conclude(self._left(), wait)

    def _conclude(self, left: list[descendants.Kin], wait: float) -> None:
        """It is over if nothing is `left`; else look again after `wait` seconds."""
        loop = asyncio.get_running_loop()
        stuck = self._kill.at is not None and loop.time() - self._kill.at > _PATIENCE
        if left and not stuck:
            if self._kill.at is not None:
                self._kill.again(left)  # also what was born since
            loop.call_later(wait, self._look, min(wait * 1.5, _SLOWEST_LOOK))
            return
        self._cancel()
        if self._command is not None:
            killing.process(self._command, f"{self._kill.who}: stop command", "what it is to stop is gone")
        if self._group is not None:
            cgroups.remove(self._group)
        self._on_gone([one.pid for one in left])

    def _left(self) -> list[descendants.Kin]:
        """Return what is left beside the process itself."""
        found = {
            *descendants.alive(self._kin),
            *descendants.orphans(self._process.pid, self._process.heirs()),
        }
        if self._group is not None:
            found.update(descendants.named(cgroups.members(self._group)))
        return sorted((one for one in found if one.pid != self._process.pid), key=lambda one: one.pid)

    def _send(self, number: int) -> None:
        if number == signal.SIGKILL:
            self.kill("that is how it is to be stopped")
            return
        self._on_signal(number)
        if self._stop.children:
            descendants.send(descendants.named(descendants.children(self._process.pid)), number)
        if self._process.running:
            self._process.send_signal(number)
        else:
            descendants.send(self._left(), number)

    def _run(self, command: str) -> None:
        env = {**self._env, "BIGTOP_PID": str(self._process.pid)}
        try:
            pid = spawn(["/bin/sh", "-c", command], env)
            self._command = Process(pid, lambda _status: None)
        except OSError:  # no process to be had, or none that can be watched: then the signal has to do
            self._send(self._stop.signal)

    def _cancel(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
