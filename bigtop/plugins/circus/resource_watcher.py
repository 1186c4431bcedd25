# ResourceWatcher: replaces processes that use too much, or too little, for too long.
#
# Rules: each process is judged by itself, and replaced alone (`restart = watcher`: all of them, as Circus
# does it). Of a process that cannot be looked at nothing is thought.

from __future__ import annotations

import signal
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from bigtop.plugins.circus.conversions import human2bytes, to_signum
from bigtop.plugins.circus.statsd import BaseObserver, is_known
from bigtop.plugins.options import OptionError, option
from bigtop.record import Record


class Amount(Record):
    """Of memory: a share of all, in percent, or bytes."""

    number: float
    is_percent: bool

    def __str__(self) -> str:
        return f"{self.number:g}"

    def of(self, figures: Mapping[str, Any]) -> float:
        """Return what a process uses, in the same unit."""
        return float(figures["mem"]) if self.is_percent else human2bytes(figures["mem_info1"])


def amount(text: str) -> Amount:
    """Return what a text says: 90 is percent, 250M is bytes."""
    try:
        return Amount(float(text), is_percent=True)
    except ValueError:
        return Amount(human2bytes(text), is_percent=False)


class ResourceWatcher(BaseObserver):
    """Replaces processes of a watcher that use too much CPU or memory, or too little, for too long."""

    name = "resource_watcher"
    role: ClassVar[str] = "operate"

    watcher: str = option("", help="whose processes", takes="WATCHER")
    service: str = option("", help="the old word for `watcher`", takes="WATCHER")
    max_cpu: float = option(90.0, help="percent of a CPU; 0: any", takes="PERCENT")
    min_cpu: float | None = option(None, help="percent of a CPU", takes="PERCENT")
    max_mem: Any = option(amount("90"), help="percent of all, or bytes", parse=amount, takes="PERCENT|SIZE")
    min_mem: Any = option(None, help="percent of all, or bytes", parse=amount, takes="PERCENT|SIZE")
    health_threshold: float = option(75.0, help="mean of CPU and memory, in percent; 0: any", takes="PERCENT")
    max_count: int = option(3, help="looks that may be bad in a row", minimum=0)
    process_children: bool = option(False, help="judge the children of processes, too")
    child_signal: int = option(
        int(signal.SIGTERM), help="what such a child is sent", parse=to_signum, takes="SIGNAL"
    )
    restart: Literal["process", "watcher"] = option("process", help="what is replaced")

    def __init__(self, *args: Any, **config: Any) -> None:
        super().__init__(*args, **config)
        if self.service:
            warnings.warn("ResourceWatcher: service is called watcher", DeprecationWarning, stacklevel=2)
        self.watcher = self.watcher or self.service
        if not self.watcher:
            self.statsd.stop()
            self.loop.close()
            raise NotImplementedError("watcher: whose processes?")
        self._bad: Counter[tuple[object, str]] = Counter()  # looks in a row, of each process and reason

    @classmethod
    def lacking(cls, values: Mapping[str, Any]) -> list[OptionError]:
        named = values.get("watcher") or values.get("service")
        return [] if named else [OptionError("watcher", "is needed: whose processes?")]

    def look_after(self) -> None:
        reply = self.call("stats", name=self.watcher)
        if reply["status"] == "error":
            self.statsd.increment(f"_resource_watcher.{self.watcher}.error")
            return
        bad: Counter[tuple[object, str]] = Counter()
        worst: set[int] = set()  # processes that are to go
        for pid, figures in reply["info"].items():
            if not isinstance(figures, dict):
                continue
            if is_known(figures) and self._is_over(("process", pid), figures, bad):
                worst.add(int(pid))
            for child in figures.get("children", ()) if self.process_children else ():
                if is_known(child) and self._is_over(("child", child["pid"]), child, bad):
                    self._tell("restarting")
                    self.cast(
                        *("signal",),
                        name=self.watcher,
                        pid=int(pid),
                        childpid=child["pid"],
                        signum=self.child_signal,
                    )
        self._bad = bad
        if worst:
            self._replace(worst)

    def _is_over(self, who: object, figures: Mapping[str, Any], bad: Counter[tuple[object, str]]) -> bool:
        """Say whether a process has been bad for too long; it begins anew then."""
        reasons = list(self._reasons(figures))
        for reason in reasons:
            self._tell(reason)
            bad[who, reason] = self._bad[who, reason] + 1
        if not any(bad[who, reason] > self.max_count for reason in reasons):
            return False
        for reason in reasons:
            del bad[who, reason]
        return True

    def _reasons(self, figures: Mapping[str, Any]) -> Iterator[str]:
        cpu, memory = float(figures["cpu"]), float(figures["mem"])
        if self.max_cpu and cpu > self.max_cpu:
            yield "over_cpu"
        if self.min_cpu is not None and cpu <= self.min_cpu:
            yield "under_cpu"
        if self.max_mem is not None and self.max_mem.of(figures) > self.max_mem.number:
            yield "over_memory"
        if self.min_mem is not None and self.min_mem.of(figures) < self.min_mem.number:
            yield "under_memory"
        if self.health_threshold and (cpu + memory) / 2 > self.health_threshold:
            yield "over_health"

    def _replace(self, pids: set[int]) -> None:
        self._tell("restarting")
        if self.restart == "watcher":
            self.cast("restart", name=self.watcher)
            return
        for pid in sorted(pids):
            self.cast("kill", name=self.watcher, pid=pid)

    def _tell(self, what: str) -> None:
        self.statsd.increment(f"_resource_watcher.{self.watcher}.{what}")
