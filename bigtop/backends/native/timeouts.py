# Timeouts of connections: until when each may be silent.
#
# Each kind of waiting has one length. Connections that wait in the same way therefore run out in the order
# in which they began, and a dict, which keeps that order, is a sorted queue: starting and stopping a clock is
# one insertion and one deletion, the next to run out is the first key. (asyncio has a heap entry per timer,
# which stays until its time even when the timer was cancelled.)
#
# Times are CLOCK_MONOTONIC nanoseconds, and arguments.

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Generic, Protocol, TypeVar

from bigtop.backends.native.transport.pace import STEP
from bigtop.http.limits import Limits

SECOND: Final = 1_000_000_000
NEVER: Final = 1 << 63

# Seconds that a client may take to notice that the connection closes. nginx: 30, or 5 of silence; a worker
# that drains cannot leave before, so fewer here.
LINGER: Final = 2.0
# Seconds that an idle client of a draining worker has for a last request, which is answered with
# "Connection: close". A client that is in use speaks within them; for one that is not, it matters little.
LAST_REQUEST: Final = 2.0
# Seconds between two looks whether a client is still there whose input is not read for the moment.
LOOK: Final = 1.0
# Seconds in which a client need not yet keep to a minimum rate: connections start slowly. Kestrel: 5.
GRACE: Final = 5


class Waiter(Protocol):
    """A connection, as far as clocks go: it holds the one that runs for it."""

    wait: Wait | None


class Wait:
    """One kind of waiting: the connections in it and when each runs out. 0 seconds: for ever.

    `rate` is how many bytes per second must move on the whole; 0: any number.
    """

    __slots__ = ("length", "rate", "until")

    def __init__(self, seconds: float, rate: int = 0) -> None:
        self.length = int(seconds * SECOND)
        self.rate = rate
        self.until: dict[Any, int] = {}

    def is_too_slow(self, size: int, began: int, now: int) -> bool:
        """Whether `size` bytes since `began` are fewer than the rate asks for. Asked whenever some moved: who
        is silent altogether runs into the time limit."""
        return size * SECOND < self.rate * (now - began - GRACE * SECOND)

    def began(self, connection: Any) -> int:
        """Return since when a connection waits so, 0 if it does not."""
        return self.until[connection] - self.length if connection in self.until else 0

    def is_fresh(self, connection: Any, now: int) -> bool:
        """Whether the clock of a connection that waits so began so lately that it need not begin anew.

        A connection in steady use costs no clock at all; one that falls idle closes up to 1/64 early.
        """
        return self.until[connection] - now > self.length - (self.length >> 6)


C = TypeVar("C", bound=Waiter)


class Timeouts(Generic[C]):
    """All clocks of a worker, whose connections are of class C."""

    __slots__ = (
        "_waits",
        "body",
        "handshake",
        "head",
        "idle",
        "keeps",
        "last",
        "linger",
        "look",
        "pace",
        "send",
        "soonest",
    )

    def __init__(self, limits: Limits) -> None:
        # Without keep-alive this is what a new client has until its first byte.
        self.idle = Wait(limits.keep_alive or limits.header_timeout)
        self.keeps = limits.keep_alive > 0  # a connection may wait for another request
        self.handshake = Wait(limits.handshake_timeout)
        self.head = Wait(limits.header_timeout, limits.header_rate)
        self.body = Wait(limits.body_timeout, limits.body_rate)
        self.send = Wait(limits.send_timeout, limits.send_rate)
        self.linger = Wait(LINGER)
        self.last = Wait(LAST_REQUEST)
        self.look = Wait(LOOK)
        self.pace = Wait(STEP)
        self._waits = (
            *(self.handshake, self.idle, self.head, self.body, self.send),
            *(self.linger, self.last, self.look, self.pace),
        )
        self.soonest = NEVER  # nothing runs out before; may be too early, never too late, NEVER for nothing

    def start(self, connection: C, wait: Wait, now: int) -> None:
        """Let `connection` be silent for as long as `wait` says, from now on."""
        if (old := connection.wait) is not None:
            del old.until[connection]
        if not wait.length:
            connection.wait = None
            return
        connection.wait = wait
        wait.until[connection] = until = now + wait.length
        if until < self.soonest:
            self.wake(until)

    def stop(self, connection: C) -> None:
        """Let `connection` be silent for ever."""
        if (wait := connection.wait) is not None:
            del wait.until[connection]
            connection.wait = None

    def wake(self, at: int) -> None:
        """Have `soonest` come no later than `at`, for something else than a silent client."""
        if at < self.soonest:
            self.soonest = at

    def expired(self, now: int) -> Iterator[tuple[C, Wait]]:
        """Stop every clock that has run out, one after the other, and tell whose it was."""
        for wait in self._waits:
            while wait.until:
                connection, until = next(iter(wait.until.items()))
                if until > now:
                    break
                self.stop(connection)
                yield connection, wait
        firsts = (next(iter(wait.until.values())) for wait in self._waits if wait.until)
        self.soonest = min(firsts, default=NEVER)
