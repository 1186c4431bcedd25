# Until when each connection may be silent.
#
# Each kind of waiting has one length. Connections that wait in the same way therefore run out in the order
# in which they began, and a dict, which keeps that order, is a sorted queue: starting and stopping a clock is
# one insertion and one deletion, the next to run out is the first key. (asyncio has a heap entry per timer,
# which stays until its time even when the timer was cancelled.)
#
# Times are CLOCK_MONOTONIC nanoseconds, and arguments.

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from bigtop.http.limits import Limits

if TYPE_CHECKING:
    from bigtop.backends.wsgi.connection import Connection

SECOND: Final = 1_000_000_000
NEVER: Final = 1 << 63

# Seconds that a client may take to notice that the connection closes. nginx: 30, or 5 of silence; a worker
# that drains cannot leave before, so fewer here.
LINGER: Final = 2.0
# Seconds that an idle client of a draining worker has for a last request, which is answered with
# "Connection: close". A client that is in use speaks within them; for one that is not, it matters little.
LAST_REQUEST: Final = 2.0


class Wait:
    """One kind of waiting: the connections in it and when each runs out. 0 seconds: for ever."""

    __slots__ = ("length", "until")

    def __init__(self, seconds: float) -> None:
        self.length = int(seconds * SECOND)
        self.until: dict[Connection, int] = {}


class Deadlines:
    """All clocks of a worker."""

    __slots__ = ("_waits", "body", "head", "idle", "last", "linger", "send", "soonest")

    def __init__(self, limits: Limits) -> None:
        # Without keep-alive this is what a new client has until its first byte.
        self.idle = Wait(limits.keep_alive or limits.header_timeout)
        self.head = Wait(limits.header_timeout)
        self.body = Wait(limits.body_timeout)
        self.send = Wait(limits.send_timeout)
        self.linger = Wait(LINGER)
        self.last = Wait(LAST_REQUEST)
        self._waits = (self.idle, self.head, self.body, self.send, self.linger, self.last)
        self.soonest = NEVER  # nothing runs out before; may be too early, never too late, NEVER for nothing

    def start(self, connection: Connection, wait: Wait, now: int) -> None:
        """Let `connection` be silent for as long as `wait` says, from now on."""
        if (old := connection.wait) is not None:
            del old.until[connection]
        if not wait.length:
            connection.wait = None
            return
        connection.wait = wait
        wait.until[connection] = until = now + wait.length
        if until < self.soonest:
            self.soonest = until

    def stop(self, connection: Connection) -> None:
        """Let `connection` be silent for ever."""
        if (wait := connection.wait) is not None:
            del wait.until[connection]
            connection.wait = None

    def expired(self, now: int) -> Iterator[tuple[Connection, Wait]]:
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
