# Multiplexing: what the event loop and the flow of requests know of clients that have several streams on one
# connection (http2/flow.py).

from __future__ import annotations

from collections.abc import Callable

from bigtop.backends.native.timeouts import Wait
from bigtop.backends.wsgi.call import Call
from bigtop.backends.wsgi.connections.connection import Connection
from bigtop.backends.wsgi.executors.executor import Lead
from bigtop.backends.wsgi.stream import Stream
from bigtop.ipc.handoff import RequestPair


class Delegating:
    """Calls for streams that other workers run, and those that are run for theirs; here: none. Leader
    only."""

    def relieve(self) -> None:
        """If calls go on here, let those of streams that wait be run by other workers."""

    def on_pair(self, fd: int, now: int) -> bool:
        """Something may be done with a descriptor; False if it leads to no such worker."""
        return False

    def adopt(self, pair: RequestPair, now: int) -> None:
        """Run the call of a request that another worker has."""
        raise NotImplementedError


class Multiplexing:
    """The streams of all connections of a worker that are MULTIPLEXED; here: of none. Leader only; times are
    monotonic nanoseconds."""

    def begin(self, before: Connection, data: bytes, now: int) -> None:
        """The client speaks HTTP/2 from here on; `data` is what was read of it."""
        raise NotImplementedError

    def on_event(self, connection: Connection, mask: int, now: int) -> None:
        """The client says something, or takes more."""
        raise NotImplementedError

    def run(self, stream: Stream, turn: int) -> Lead:
        """Run the call of a stream whose turn has come, unless its client has given it up since, or has had
        its share of this turn of the loop, which began at `turn`."""
        raise NotImplementedError

    def handed_over(self, call: Call, now: int) -> None:
        """All of an answer is on its way, or in a write buffer."""
        raise NotImplementedError

    def blocked(self, stream: Stream, now: int) -> None:
        """The thread of a call has more to send than the client takes."""
        raise NotImplementedError

    def expired(self, connection: Connection, wait: Wait, now: int) -> None:
        """The clock of a connection has run out."""
        raise NotImplementedError

    def drain(self, connection: Connection, now: int) -> None:
        """Have the client make its further requests elsewhere; the connection ends when those that it has
        made are answered."""
        raise NotImplementedError

    def cut_off(self, connection: Connection) -> None:
        """Nobody gets more of an answer."""
        raise NotImplementedError


class FirstMultiplexing(Multiplexing):
    """What is there until the first of them comes: `make` makes, and installs, the one for all."""

    def __init__(self, make: Callable[[], Multiplexing]) -> None:
        self._make = make

    def begin(self, before: Connection, data: bytes, now: int) -> None:
        self._make().begin(before, data, now)


class FirstDelegating(Delegating):
    """The same for what comes from other workers."""

    def __init__(self, make: Callable[[], Delegating]) -> None:
        self._make = make

    def adopt(self, pair: RequestPair, now: int) -> None:
        self._make().adopt(pair, now)
