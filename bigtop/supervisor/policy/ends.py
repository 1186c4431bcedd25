# Ends of processes: how hard they are asked to leave, how they ended, and why.

from __future__ import annotations

from enum import Enum

from bigtop.record import Record, field


class Urgency(Enum):
    """How hard to stop. Each is stronger than the one before it."""

    GRACEFUL = 1  # up to the graceful timeout
    QUICK = 2  # leave at once: open requests are cut off, exit handlers run
    NOW = 3  # SIGKILL


class ExitStatus(Record):
    """How a process ended: `code` as from exit(3), or `signal`; exactly one of them is set.

    `out_of_memory` is what there is to say of the kernel, where it has ended it for want of memory.
    `is_lost`: nobody can tell any more, and the code stands for that.
    """

    code: int | None = None
    signal: int | None = None
    out_of_memory: str = field(default="", compare=False)
    is_lost: bool = False

    def __str__(self) -> str:
        if self.is_lost:
            return "exit status unknown"
        if self.signal is None:
            return f"exit status {self.code}"
        return f"signal {self.signal}" + (f" ({self.out_of_memory})" if self.out_of_memory else "")


class Ending(Enum):
    """Why a process is not there any more, in one word."""

    EXIT = "exit"  # by itself, with status 0
    ERROR = "error"  # by itself, with another
    SIGNAL = "signal"  # by a signal that it was not asked to end by
    OOM = "oom"  # by the kernel, which was out of memory
    HUNG = "hung"
    MAX_REQUESTS = "max_requests"
    MAX_RSS = "max_rss"
    MAX_AGE = "max_age"
    REFORK = "refork"  # it was to become a fork server, and could not
    RELOAD = "reload"
    STOP = "stop"  # it was asked to leave for any other reason
