# Connections on their way from one application to another, where several answer on one socket.
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
# Rule 3: of the others' scoreboards a worker knows only whether anybody is there, and cannot write to them.

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from bigtop.backends.deadlines import SECOND
from bigtop.errors import ConfigError
from bigtop.handoff import Queues
from bigtop.http.routes import Routes
from bigtop.scoreboard import Scoreboard, State, Word

READ: Final = 65536  # bytes of one recv(2) in a worker
HEAD: Final = 131072  # the longest head that may be passed on
UNSERVED: Final = SECOND // 20  # until the next try, when nobody served that application
PATIENCE: Final = 10 * SECOND  # for which a request waits for it
DOWN: Final = "The application that answers here is not running."
_PREFIX: Final = struct.Struct("!H")  # the length of what the balancer said, which comes next
_LONGEST: Final = _PREFIX.size + 256 + HEAD + READ
_SEATS: Final = 128  # of a scoreboard that are looked at: the first ones are filled first
_STATE: Final = int(Word.STATE)
_READY: Final = int(State.READY)

Address = tuple[str, int]


class Said(NamedTuple):
    """What the PROXY header of a connection said: where it comes from and went to, if it said so."""

    source: Address | None
    destination: Address | None


class Arrival(NamedTuple):
    """A connection from another application's worker. `said` is None if there was no balancer to say it."""

    socket: socket.socket
    data: bytes
    said: Said | None


class Passage:
    """The way to one application, as the supervisor keeps it. The scoreboard is that of its workers."""

    def __init__(self) -> None:
        self.board = Scoreboard.create()
        os.fchmod(self.board.fd, 0o600)  # nobody else opens it for writing by the next one
        # Another open file, so that those who are given it can but read.
        self.sight = os.open(f"/proc/self/fd/{self.board.fd}", os.O_RDONLY | os.O_CLOEXEC)
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
    def fds(self) -> tuple[int, int, int]:
        """Where to read, where to write, where to see who is there."""
        return self._ends[0].fileno(), self._ends[1].fileno(), self.sight

    def close(self) -> None:
        for end in self._ends:
            end.close()
        os.close(self.sight)
        os.close(self.board.fd)


class Transfer:
    """The passages as the workers of one application use them: the one whose `routes` these are. One thread
    at a time."""

    def __init__(self, fds: Sequence[int], routes: Routes) -> None:
        self.routes = routes
        self._mine = routes.mine
        self._queues = Queues(fds[0::3], fds[1::3])
        self._seen = [_Sight(fd) for fd in fds[2::3]]

    def close(self) -> None:
        """Close this process' copies."""
        self._queues.close()

    @property
    def queue(self) -> int:
        """The descriptor that is readable when take() may have something; for EPOLLEXCLUSIVE."""
        return self._queues.fileno(self._mine)

    def is_served(self, owner: int) -> bool:
        """Whether a worker of that application takes what it is sent."""
        return self._seen[owner].is_served()

    def send(self, owner: int, client: socket.socket, data: bytes, said: Said | None) -> bool:
        """Send a copy of `client` to an application, with `data` to be read first; False when there is no
        room at present."""
        words = b"" if said is None else json.dumps(said).encode()
        return self._queues.send(owner, client, _PREFIX.pack(len(words)) + words + data)

    def take(self) -> Arrival | None:
        """Return what has waited longest for this application; OSError: out of descriptors, it goes on
        waiting."""
        return self._receive(self._mine)

    def stranded(self) -> Iterator[Arrival]:
        """Take what was meant for applications that nobody serves at present."""
        for owner in range(len(self._queues)):
            if owner != self._mine and not self.is_served(owner):
                while (arrival := self._receive(owner)) is not None:
                    yield arrival

    def _receive(self, owner: int) -> Arrival | None:
        received = self._queues.receive(owner, _LONGEST)
        if received is None:
            return None
        client, data = received
        (length,) = _PREFIX.unpack_from(data)
        end = _PREFIX.size + length
        said: Any = json.loads(data[_PREFIX.size : end]) if length else None
        return Arrival(client, data[end:], None if said is None else Said(*map(_address, said)))


class _Sight:
    """Another application's scoreboard."""

    def __init__(self, fd: int) -> None:
        board = Scoreboard(fd, read_only=True)
        os.close(fd)
        self._words = [board.words(seat) for seat in range(_SEATS)]
        self._last = self._words[0]  # of a worker that was there when last looked

    def is_served(self) -> bool:
        if self._last[_STATE] == _READY:
            return True
        for words in self._words:
            if words[_STATE] == _READY:
                self._last = words
                return True
        return False


def _address(pair: list[Any] | None) -> Address | None:
    return None if pair is None else (pair[0], pair[1])
