# Reactor: what upstreams ask of the event loop of their worker, whichever kind that is.

from __future__ import annotations

from typing import Protocol


class Reactor(Protocol):
    """Calls `Upstreams.on_event` for descriptors that are watched, and `Upstreams.expire` in time."""

    def watch(self, fd: int, interest: int, before: int) -> None:
        """Report EPOLLIN, EPOLLOUT or both of a descriptor, 0 for nothing; `before` is what was reported."""

    def wake(self, at: int) -> None:
        """Have expire() called then, in monotonic nanoseconds, or before."""
