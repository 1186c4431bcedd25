# Clocks of connections to upstreams, by native/timeouts.py: each kind of waiting has one length.

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from bigtop.backends.native.timeouts import NEVER, Wait, Waiter

IDLE: Final = 15.0  # seconds for which a connection is kept that nobody needs; most servers keep it longer
TUNNEL: Final = 3600.0  # seconds for which nothing may come on a WebSocket, either way


class Clocks:
    """All clocks of a worker's upstreams; `wake` is told when the next one runs out."""

    __slots__ = ("_waits", "_wake", "answer", "connect", "due", "idle", "tunnel", "turn")

    def __init__(self, connect: float, answer: float, wake: Callable[[int], None]) -> None:
        self._wake = wake
        self.connect = Wait(connect)
        self.turn = Wait(connect)  # until a connection is free
        self.answer = Wait(answer)
        self.idle = Wait(IDLE)
        self.tunnel = Wait(TUNNEL)
        self._waits = (self.connect, self.turn, self.answer, self.idle, self.tunnel)
        self.due = NEVER

    def start(self, waiter: Waiter, wait: Wait, now: int) -> None:
        """Let a waiter wait for as long as `wait` says, from now on."""
        self.stop(waiter)
        if wait.length:
            waiter.wait = wait
            wait.until[waiter] = until = now + wait.length
            if until < self.due:
                self.due = until
                self._wake(until)

    def stop(self, waiter: Waiter) -> None:
        if (wait := waiter.wait) is not None:
            del wait.until[waiter]
            waiter.wait = None

    def expired(self, now: int) -> Iterator[tuple[Waiter, Wait]]:
        """Stop every clock that has run out, one after the other, and tell whose it was."""
        for wait in self._waits:
            while wait.until:
                waiter, until = next(iter(wait.until.items()))
                if until > now:
                    break
                self.stop(waiter)
                yield waiter, wait
        self.due = min((next(iter(one.until.values())) for one in self._waits if one.until), default=NEVER)
        if self.due != NEVER:
            self._wake(self.due)
