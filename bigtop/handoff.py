# Connections on their way from one worker to another.
#
# There is one queue for all workers, from which whoever is idle takes, and an inbox for each of the first
# worker numbers, for connections that are meant for one worker. Each is a SOCK_SEQPACKET pair. The supervisor
# makes them before anything is forked and keeps both ends, so that a connection on its way outlives every
# worker; all workers of all generations inherit them, so any of them can write to and read from any.
#
# Rule 1: a message is one byte and one descriptor (unix(7), SCM_RIGHTS). Nothing that was read from a client
# travels, so neither does the state of a parser. And the bytes in a queue are the messages in it.
# Rule 2: whoever sends keeps its own copy until the kernel has taken the other. Queues are bounded (some 278
# messages at Linux' default buffer size), and so are the descriptors in flight of a user (RLIMIT_NOFILE).

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import socket
import termios
from collections.abc import Iterator, Sequence
from typing import Final

from bigtop.scoreboard import Scoreboard, State, Word

# Nanoseconds.
FULL: Final = 5_000_000  # until the next try, when a queue was full
LOOK: Final = 1_000_000_000  # between two looks for what nobody was woken up for
# Full queue; too many descriptors in flight; no memory: all of them pass.
_LATER: Final = frozenset((errno.EAGAIN, errno.ENOBUFS, errno.ETOOMANYREFS, errno.ENOMEM))
_FD_SIZE: Final = array.array("i").itemsize
_ROOM_FOR_FD: Final = socket.CMSG_SPACE(_FD_SIZE)
# Plain numbers: an enum's member costs a look-up each time it is named.
_STATE, _CONNECTIONS, _OPEN, _IDLE = map(int, (Word.STATE, Word.CONNECTIONS, Word.OPEN, Word.IDLE))
_EMPTY, _READY, _DRAINING = map(int, (State.EMPTY, State.READY, State.DRAINING))


def make(seats: int) -> list[socket.socket]:
    """Return the ends of the common queue and of `seats` inboxes, each as where to read, where to write."""
    ends: list[socket.socket] = []
    for _ in range(1 + seats):
        ends += socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setblocking(False)  # a property of the open socket, so of every inherited copy too
    return ends


class Handoff:
    """The queues as the worker with slot `index` of the scoreboard uses them. One thread at a time.

    A worker whose number has no inbox takes from the common queue only, and gives as all others do.
    """

    def __init__(self, fds: Sequence[int], board: Scoreboard, index: int) -> None:
        self._queues = Queues(fds[0::2], fds[1::2])
        self._seats = len(self._queues) - 1
        self._words = [board.words(seat) for seat in range(self._seats)]
        self._index = index
        self._others = [seat for seat in range(self._seats) if seat != index]

    def close(self) -> None:
        """Close this process' copies."""
        self._queues.close()

    @property
    def queue(self) -> int:
        """The descriptor that is readable when take() may have something; for EPOLLEXCLUSIVE."""
        return self._queues.fileno(0)

    @property
    def inbox(self) -> int | None:
        """The descriptor that is readable when take_own() has something."""
        return self._queues.fileno(1 + self._index) if self._index < self._seats else None

    # ---- giving

    def give(self, client: socket.socket) -> bool:
        """Send a copy of `client` to whoever is idle first; False when there is no room at present."""
        return self._queues.send(0, client, b"c")

    def send(self, seat: int, client: socket.socket) -> bool:
        """Send a copy of `client` to one worker; False when there is no room at present."""
        return self._queues.send(1 + seat, client, b"c")

    def spread(self, newcomer: socket.socket, mine: int) -> bool:
        """Send a new client to a worker that has fewer than `mine`; True when it is gone from here."""
        seat = self.emptiest(below=mine)
        if seat is None or not self.send(seat, newcomer):
            return False
        newcomer.close()
        return True

    # ---- taking

    def take(self) -> socket.socket | None:
        """Return the connection that has waited longest in the common queue.

        All that take raise OSError when this process is out of descriptors; what waits goes on waiting then.
        """
        return self._receive(0)

    def take_own(self) -> socket.socket | None:
        return self._receive(1 + self._index) if self._index < self._seats else None

    def stranded(self) -> Iterator[socket.socket]:
        """Take what was meant for workers that are gone."""
        for seat in self._others:
            if self._words[seat][_STATE] == _EMPTY:
                while (client := self._receive(1 + seat)) is not None:
                    yield client

    def _receive(self, queue: int) -> socket.socket | None:
        received = self._queues.receive(queue, 1)
        return None if received is None else received[0]

    # ---- who else is there

    def has_heir(self) -> bool:
        """Whether another worker serves, and is not about to leave."""
        return any(self._words[seat][_STATE] == _READY for seat in self._others)

    def has_company(self) -> bool:
        """Whether another worker takes from the common queue, or may once more before it leaves."""
        return any(self._words[seat][_STATE] in (_READY, _DRAINING) for seat in self._others)

    def emptiest(self, below: int) -> int | None:
        """Return the worker with the fewest connections, if it takes any and has less than `below`.

        What is on its way to it counts: in a burst, a worker is sent many before it has run at all.
        """
        found = None
        for seat in self._others:
            words = self._words[seat]
            if words[_STATE] == _READY and words[_OPEN] and words[_CONNECTIONS] < below:
                load = words[_CONNECTIONS] + self._in_flight(seat)
                if load < below:
                    found, below = seat, load
        return found

    def idle(self) -> int | None:
        """Return a worker that has nothing to do and will not be given anything in this moment."""
        for seat in self._others:
            words = self._words[seat]
            if words[_IDLE] and words[_STATE] == _READY and not self._in_flight(seat):
                return seat
        return None

    def _in_flight(self, seat: int) -> int:
        waiting = fcntl.ioctl(self._queues.fileno(1 + seat), termios.FIONREAD, bytes(_FD_SIZE))
        return int.from_bytes(waiting, "little")


class Queues:
    """This process' copies of queues by number: of each, where to read and where to write. One thread at a
    time."""

    def __init__(self, readers: Sequence[int], writers: Sequence[int]) -> None:
        self._readers = [socket.socket(fileno=fd) for fd in readers]
        self._writers = [socket.socket(fileno=fd) for fd in writers]
        for end in (*self._readers, *self._writers):
            end.set_inheritable(False)  # programs that the application starts have no business with them
            end.setblocking(False)  # they do not block as it is (make()), but an object of gevent's does
        # The kernel drops a connection for which the receiver has no descriptor left, so one is kept for it.
        self._spare: int | None = None

    def __len__(self) -> int:
        return len(self._readers)

    def close(self) -> None:
        for end in (*self._readers, *self._writers):
            end.close()
        if self._spare is not None:
            os.close(self._spare)

    def fileno(self, number: int) -> int:
        """Return where to read."""
        return self._readers[number].fileno()

    def send(self, number: int, client: socket.socket, data: bytes) -> bool:
        """Send a copy of `client` with `data`; False when there is no room at present."""
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", (client.fileno(),)))
        try:
            self._writers[number].sendmsg((data,), (rights,))
        except OSError as error:
            if error.errno not in _LATER:
                raise
            return False
        return True

    def receive(self, number: int, size: int) -> tuple[socket.socket, bytes] | None:
        """Return a connection and what came with it, at most `size` bytes; None when nothing waits.

        Raises OSError when this process is out of descriptors; what waits goes on waiting then.
        """
        queue = self._readers[number]
        if self._spare is None:
            self._spare = os.dup(queue.fileno())
        os.close(self._spare)
        self._spare = None
        try:
            data, ancillary, _flags, _address = queue.recvmsg(size, _ROOM_FOR_FD, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return None
        client = socket.socket(fileno=int.from_bytes(ancillary[0][2][:_FD_SIZE], "little"))
        client.setblocking(False)
        with contextlib.suppress(OSError):
            self._spare = os.dup(queue.fileno())
        return client, data
