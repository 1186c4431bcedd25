# Queues of connections on their way from one application to another, where several answer on one socket.
#
# Every worker accepts, whoever the request will turn out to be for. If it is another application's, the
# connection goes there with all that was read and not answered; it stays there until the client asks for
# something else.
#
# There is one queue for each application, from which whoever of its workers is idle takes: a SOCK_SEQPACKET
# pair. The supervisor makes it, keeps both ends and gives them to the workers of all the applications, so
# that what is on its way outlives every worker.
#
# Rule 1: a message is a descriptor (unix(7), SCM_RIGHTS), what a balancer said about the client, and bytes:
# at most a head that came in pieces, and one read.
# Rule 2: whoever sends keeps its own copy until the kernel has taken the other. A queue is as long as its
# buffer, whoever fills it.
# Rule 3: of the others a worker sees their seats, and cannot write to them.

from __future__ import annotations

import ipaddress
import json
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from os import close, dup  # by name: an application may put its own in their place
from typing import Any, Final, NamedTuple

from bigtop.backends.native.timeouts import SECOND
from bigtop.errors import ConfigError
from bigtop.http.paths.routes import Routes
from bigtop.ipc import seats
from bigtop.ipc.handoff import MOST, Descriptor, HandoffQueues
from bigtop.ipc.seats import Seat, Seats, SeatState
from bigtop.system import kernel

READ: Final = 65536  # bytes of one recv(2) in a worker
HEAD: Final = 131072  # the longest head that may be passed on
UNSERVED: Final = SECOND // 20  # until the next try, when nobody served that application
PATIENCE: Final = 10 * SECOND  # for which a request waits for it
DOWN: Final = "The application that answers here is not running."
MISDIRECTED: Final = "Another application answers here, to which this connection cannot be handed over."
_PREFIX: Final = struct.Struct("!H")  # the length of what the balancer said, which comes next
_LONGEST_ADDRESSES: Final = 256
_LONGEST: Final = _PREFIX.size + _LONGEST_ADDRESSES + HEAD + READ
_SEATS: Final = 128  # that are looked at: the first ones are filled first
_STATE: Final = int(Seat.STATE)
_READY: Final = int(SeatState.READY)

Address = tuple[str, int]


class ProxiedAddresses(NamedTuple):
    """What the PROXY header of a connection said: where it comes from and went to, if it said so."""

    source: Address | None
    destination: Address | None


class Arrival(NamedTuple):
    """A connection from another application's worker; `proxied` is None if no balancer stands before us."""

    socket: socket.socket
    data: bytes
    proxied: ProxiedAddresses | None


class AppQueue:
    """The queue of one application, as the supervisor keeps it. The seats are those of its workers."""

    def __init__(self, parts: Sequence[int] = ()) -> None:
        """`parts` are those of another one, to go on with. ConfigError: the kernel is in the way."""
        if parts:
            self.seats, self.seats_view, *ends = parts
            self._ends = socket.socket(fileno=ends[0]), socket.socket(fileno=ends[1])
            return
        self.seats = seats.create()
        # Another open file, so that those who are given it can but read.
        self.seats_view = os.open(f"/proc/self/fd/{self.seats}", os.O_RDONLY | os.O_CLOEXEC)
        self._ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in self._ends:
            end.setblocking(False)
        self._ends[1].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LONGEST)
        if self._ends[1].getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) < _LONGEST + 1024:
            self.close()
            raise ConfigError(
                "routes need a kernel with net.core.wmem_max of at least "
                f"{_LONGEST}: requests that change the application would not fit"
            )

    @property
    def parts(self) -> tuple[int, int, int, int]:
        return self.seats, self.seats_view, self._ends[0].fileno(), self._ends[1].fileno()

    @property
    def fds(self) -> tuple[int, int, int]:
        """Where to read, where to write, where to see who is there."""
        return self._ends[0].fileno(), self._ends[1].fileno(), self.seats_view

    def close(self) -> None:
        for end in self._ends:
            end.close()
        close(self.seats_view)
        close(self.seats)


class AppQueues:
    """The queues as the workers of one application use them: the one whose `routes` these are. One thread
    at a time.

    What comes was accepted from one of `listeners`, or is refused: of a socket that somebody made himself,
    any address of a client may be claimed.
    """

    def __init__(self, fds: Sequence[int], routes: Routes, listeners: Sequence[int]) -> None:
        self.routes = routes
        self._origins = {_of_listener(fd) for fd in listeners}
        self._mine = routes.mine
        self._queues = HandoffQueues(fds[0::3], fds[1::3])
        self.ended: AbstractSet[int] = self._queues.ended
        self._workers = [_ReadyWorkers(fd) for fd in fds[2::3]]

    def close(self) -> None:
        """Close this process' copies."""
        self._queues.close()

    @property
    def queue(self) -> int:
        """The descriptor that is readable when take() may have something; for EPOLLEXCLUSIVE."""
        return self._queues.fileno(self._mine)

    def is_served(self, owner: int) -> bool:
        """Whether a worker of that application takes what it is sent."""
        return self._workers[owner].is_served() and not self._queues.is_closed(owner)

    def send(self, owner: int, client: Descriptor, data: bytes, proxied: ProxiedAddresses | None) -> bool:
        """Send a copy of `client` to an application, with `data` to be read first; False when there is no
        room at present."""
        words = b"" if proxied is None else json.dumps(proxied).encode()
        return self._queues.send(owner, client, _PREFIX.pack(len(words)) + words + data)

    def take(self) -> Arrival | None:
        """Return what has waited longest for this application; OSError: out of descriptors, it goes on
        waiting."""
        return self._receive(self._mine)

    def stranded(self) -> Iterator[Arrival]:
        """Take what was meant for applications that nobody serves at present."""
        for owner in range(len(self._queues)):
            if owner != self._mine and not self.is_served(owner):
                for _ in range(MOST):
                    if (arrival := self._receive(owner)) is None:
                        break
                    yield arrival

    def _receive(self, owner: int) -> Arrival | None:
        for _ in range(MOST):
            try:
                if (received := self._queues.receive(owner, _LONGEST)) is None:
                    return None
                client, data = received
                try:
                    if _origin(client) not in self._origins:
                        raise ValueError("no listener of this application accepted it")
                    return Arrival(client, *unpack(data))
                except ValueError:
                    client.close()
                    raise
            except ValueError as error:
                self._queues.complain(error)
        return None


class _ReadyWorkers:
    """Which workers of another application there are."""

    def __init__(self, fd: int) -> None:
        table = Seats(fd, read_only=True)
        close(fd)
        self._words = [table.words(seat) for seat in range(_SEATS)]
        self._last = self._words[0]  # of a worker that was there when last looked

    def is_served(self) -> bool:
        if self._last[_STATE] == _READY:
            return True
        for words in self._words:
            if words[_STATE] == _READY:
                self._last = words
                return True
        return False


def _of_listener(fd: int) -> tuple[int, int, str]:
    with socket.socket(fileno=dup(fd)) as listener:
        return _origin(listener)


def _origin(end: socket.socket) -> tuple[int, int, str]:
    """Return what an accepted socket has in common with its listener, and one that somebody made to claim
    an address has not: the network, in which the system gives addresses; the name of a unix socket."""
    name = str(end.getsockname()) if end.family == socket.AF_UNIX else ""
    return end.family, kernel.network_of(end), name


def unpack(data: bytes) -> tuple[bytes, ProxiedAddresses | None]:
    """Return what was read of a connection and what a balancer said; ValueError for what none of us sends."""
    if len(data) < _PREFIX.size:
        raise ValueError("it is too short")
    (length,) = _PREFIX.unpack_from(data)
    end = _PREFIX.size + length
    if end > len(data) or length > _LONGEST_ADDRESSES:
        raise ValueError("what it says of the client is too long")
    if not length:
        return data[end:], None
    try:
        source, destination = json.loads(data[_PREFIX.size : end])
        return data[end:], ProxiedAddresses(_address(source), _address(destination))
    except (TypeError, ValueError):
        raise ValueError("what it says of the client is no address") from None


def _address(pair: list[Any] | None) -> Address | None:
    if pair is None:
        return None
    host, port = pair
    # A zone behind the address could be any text; PROXY headers have none.
    if type(host) is not str or "%" in host or type(port) is not int or not 0 <= port <= 65535:
        raise ValueError("no host and port")
    return str(ipaddress.ip_address(host)), port
