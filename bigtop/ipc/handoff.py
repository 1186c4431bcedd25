# Connections on their way from one worker to another.
#
# There is one queue for all workers, from which whoever is idle takes, and an inbox for each of the first
# worker numbers, for connections that are meant for one worker. Each is a SOCK_SEQPACKET pair. The supervisor
# makes them before anything is forked and keeps both ends, so that a connection on its way outlives every
# worker; all workers of all generations inherit them, so any of them can write to and read from any.
#
# Rule 1: a message is one byte and one descriptor (unix(7), SCM_RIGHTS). Nothing that was read from a client
# travels, so neither does the state of a parser. And the bytes in a queue are the messages in it.
# The byte tells what the descriptor is: a connection; or one end of a pair, by which a request that was read
# comes, and its answer goes back (backends/wsgi/http2/delegation).
# Rule 2: whoever sends keeps its own copy until the kernel has taken the other. Queues are bounded (some 278
# messages at Linux' default buffer size), and so are the descriptors in flight of a user (RLIMIT_NOFILE).
# Rule 3: a worker may be in anybody's hands, so anything may come out of a queue. What is no connection is
# closed and dropped, nobody reads on for as long as it keeps coming, and the log says so once in a while.
# Rule 4: nor is a queue itself to be trusted: who holds a copy can make it block, shut it down, or have the
# kernel add to messages. Nobody waits for one, and one that is shut down is left alone from then on.

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import select
import socket
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, Protocol

from bigtop.ipc.scoreboard import Word
from bigtop.ipc.seats import Seat, Seats, SeatState
from bigtop.log import logger as get_logger

log = get_logger("bigtop.worker")

MOST: Final = 512  # messages that are taken out of a queue without a look at anything else
# Nanoseconds.
FULL: Final = 5_000_000  # until the next try, when a queue was full
LOOK: Final = 1_000_000_000  # between two looks for what nobody was woken up for
_SILENCE: Final = 60_000_000_000  # between two complaints
# Full queue; too many descriptors in flight; no memory: all of them pass.
_LATER: Final = frozenset((errno.EAGAIN, errno.ENOBUFS, errno.ETOOMANYREFS, errno.ENOMEM))
# Shut down; made too short for a message; made to refuse descriptors (SO_PASSRIGHTS).
_SPOILT: Final = frozenset((errno.EPIPE, errno.EMSGSIZE, errno.EPERM))
_SCM_PIDFD: Final = 4  # a descriptor of who sent it, if somebody has asked for that (SO_PASSPIDFD)
_POLL: Final = select.poll  # kept here: gevent has another one
_SHUT: Final[int] = getattr(select, "POLLRDHUP", 0)  # Linux, FreeBSD
_FD_SIZE: Final = array.array("i").itemsize
_ROOM_FOR_FD: Final = socket.CMSG_LEN(_FD_SIZE)  # the kernel closes what does not fit
_RECEIVE: Final = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
_CONNECTION: Final = b"c"
_REQUEST: Final = b"r"
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
# Plain numbers: an enum's member costs a look-up each time it is named.
_STATE, _CONNECTIONS, _OPEN, _IDLE = map(int, (Seat.STATE, Seat.CONNECTIONS, Seat.OPEN, Seat.IDLE))
_HANDED_OFF: Final = int(Word.HANDED_OFF)
_EMPTY, _READY, _DRAINING = map(int, (SeatState.EMPTY, SeatState.READY, SeatState.DRAINING))


class Descriptor(Protocol):
    """A connection, as far as handing it over goes."""

    def fileno(self) -> int:
        """Return its descriptor."""


class RequestPair(socket.socket):
    """What came out of a queue is one end of such a pair."""


class Newcomer(Descriptor, Protocol):
    """A socket of a new client."""

    def close(self) -> None: ...


def make(seats: int) -> list[socket.socket]:
    """Return the ends of the common queue and of `seats` inboxes, each as where to read, where to write.

    Raises OSError where descriptors run out; then none is left open.
    """
    ends: list[socket.socket] = []
    with contextlib.ExitStack() as undo:
        for _ in range(1 + seats):
            for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET):
                undo.callback(end.close)
                end.setblocking(False)  # a property of the open socket, so of every inherited copy too
                ends.append(end)
        undo.pop_all()
    return ends


class Handoff:
    """The queues as the worker with seat `index` uses them. One thread at a time.

    A worker whose number has no inbox takes from the common queue only, and gives as all others do. How many
    it gave stands in `counters`, the words of its slot (scoreboard.py).
    """

    def __init__(
        self, fds: Sequence[int], seats: Seats, index: int, counters: memoryview | None = None
    ) -> None:
        self._counters = counters
        self._given = 0
        self._queues = HandoffQueues(fds[0::2], fds[1::2])
        self.ended: AbstractSet[int] = self._queues.ended
        self._seats = len(self._queues) - 1
        self._words = [seats.words(seat) for seat in range(self._seats)]
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

    def give(self, client: Descriptor) -> bool:
        """Send a copy of `client` to whoever is idle first; False when there is no room at present."""
        return self._count(self._queues.send(0, client, _CONNECTION))

    def send(self, seat: int, client: Descriptor) -> bool:
        """Send a copy of `client` to one worker; False when there is no room at present."""
        return self._count(self._queues.send(1 + seat, client, _CONNECTION))

    def delegate(self, seat: int | None, pair: Descriptor) -> bool:
        """Send a copy of one end of a pair to one worker, None: to whoever is idle first; False when there is
        no room at present."""
        return self._queues.send(0 if seat is None else 1 + seat, pair, _REQUEST)

    def _count(self, sent: bool) -> bool:
        self._given += sent
        if sent and self._counters is not None:
            self._counters[_HANDED_OFF] = self._given
        return sent

    def spread(self, newcomer: Newcomer, mine: int) -> bool:
        """Send a new client to a worker that has fewer than `mine`; True when it is gone from here."""
        seat = self.emptiest(below=mine)
        if seat is None or not self.send(seat, newcomer):
            return False
        newcomer.close()
        return True

    # ---- taking

    def take(self) -> socket.socket | None:
        """Return what has waited longest in the common queue: a connection, or a RequestPair.

        All that take raise OSError when this process is out of descriptors; what waits goes on waiting then.
        """
        return self._receive(0)

    def take_own(self) -> socket.socket | None:
        return self._receive(1 + self._index) if self._index < self._seats else None

    def stranded(self) -> Iterator[socket.socket]:
        """Take what was meant for workers that are gone."""
        for seat in self._others:
            if self._words[seat][_STATE] == _EMPTY:
                for _ in range(MOST):
                    if (client := self._receive(1 + seat)) is None:
                        break
                    yield client

    def _receive(self, queue: int) -> socket.socket | None:
        for _ in range(MOST):
            try:
                received = self._queues.receive(queue, 1)
            except ValueError as error:
                self._queues.complain(error)
            else:
                if received is None:
                    return None
                client, kind = received
                return client if kind != _REQUEST else RequestPair(fileno=client.detach())
        return None

    def complain(self, error: Exception) -> None:
        """Log, not too often, that something was dropped."""
        self._queues.complain(error)

    # ---- who else is there

    def has_heir(self) -> bool:
        """Whether another worker serves, and is not about to leave."""
        return any(self._words[seat][_STATE] == _READY for seat in self._others)

    def has_company(self) -> bool:
        """Whether another worker takes from the common queue, or may once more before it leaves."""
        return any(self._words[seat][_STATE] in (_READY, _DRAINING) for seat in self._others)

    def company(self) -> int:
        """Return how many other workers take from the common queue, or may once more before they leave."""
        return sum(self._words[seat][_STATE] in (_READY, _DRAINING) for seat in self._others)

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


class HandoffQueues:
    """This process' copies of queues by number: of each, where to read and where to write. One thread at a
    time."""

    def __init__(self, readers: Sequence[int], writers: Sequence[int]) -> None:
        self._readers = [socket.socket(fileno=fd) for fd in readers]
        self._writers = [socket.socket(fileno=fd) for fd in writers]
        for end in (*self._readers, *self._writers):
            end.set_inheritable(False)  # programs that the application starts have no business with them
            end.setblocking(False)  # they do not block as it is (make()), but an object of gevent's does
        # Where to read of those at which nothing can come any more: they are readable for ever.
        self.ended: set[int] = set()
        self._closed: set[int] = set()  # numbers of those to which nothing can be sent any more
        # The kernel drops a connection for which the receiver has no descriptor left, so one is kept for it.
        self._spare: int | None = None
        self._dropped = 0
        self._complain_at = 0

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

    def is_closed(self, number: int) -> bool:
        """Whether nothing can be sent to that queue any more."""
        return number in self._closed

    def send(self, number: int, client: Descriptor, data: bytes) -> bool:
        """Send a copy of `client` with `data`; False when there is no room at present, or no way."""
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", (client.fileno(),)))
        try:
            self._writers[number].sendmsg((data,), (rights,), socket.MSG_DONTWAIT)
        except OSError as error:
            if error.errno in _SPOILT:
                self._give_up(self._closed, number, str(error.strerror))
            elif error.errno not in _LATER:
                raise
            return False
        return True

    def receive(self, number: int, size: int) -> tuple[socket.socket, bytes] | None:
        """Return a connection and what came with it, at most `size` bytes; None when nothing waits.

        Raises OSError when this process is out of descriptors; what waits goes on waiting then. Raises
        ValueError for what is no connection, or has more with it; that is gone.
        """
        queue = self._readers[number]
        if self._spare is None:
            self._spare = os.dup(queue.fileno())
        os.close(self._spare)
        self._spare = None
        try:
            data, ancillary, flags, _address = queue.recvmsg(size, _ROOM_FOR_FD, _RECEIVE)
        except BlockingIOError:
            return None
        if not data and not ancillary and is_shut(queue):
            self._give_up(self.ended, queue.fileno(), "somebody shut it down")
            return None
        client = _connection(ancillary)
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            client.close()
            raise ValueError("it is longer than any")
        with contextlib.suppress(OSError):
            self._spare = os.dup(queue.fileno())
        return client, data

    def _give_up(self, useless: set[int], which: int, reason: str) -> None:
        if not useless:  # there are hundreds, and who spoils one can spoil all
            log.error("a queue between workers is of no use any more: %s", reason)
        useless.add(which)

    def complain(self, error: Exception) -> None:
        """Log, not too often, that something was dropped."""
        self._dropped += 1
        now = time.monotonic_ns()
        if now >= self._complain_at:
            log.warning(
                "dropped %d messages from other workers, the last one because %s", self._dropped, error
            )
            self._dropped, self._complain_at = 0, now + _SILENCE


def is_shut(end: socket.socket) -> bool:
    """Whether somebody shut a unix socket down. Of a queue: an empty message can be sent, too."""
    look = _POLL()
    look.register(end, _SHUT)
    return any(found & _SHUT for _, found in look.poll(0))


def _connection(ancillary: Sequence[tuple[int, int, bytes]]) -> socket.socket:
    """Return the socket that came with a message; ValueError if none did, or no client's."""
    for level, kind, payload in ancillary:
        if level != socket.SOL_SOCKET or kind not in (socket.SCM_RIGHTS, _SCM_PIDFD):
            continue  # who sent it (SO_PASSCRED): a number that is no descriptor of ours
        fd = int.from_bytes(payload[:_FD_SIZE], sys.byteorder)
        try:
            client = socket.socket(fileno=fd)
        except OSError:
            os.close(fd)
            raise ValueError("what came with it is no socket") from None
        listens = client.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if client.family not in _FAMILIES or client.type != socket.SOCK_STREAM or listens:
            client.close()
            raise ValueError("what came with it is no connection")
        client.setblocking(False)
        return client
    raise ValueError("nothing came with it")
