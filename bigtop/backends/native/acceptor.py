# The listening sockets: open while this worker can begin something, shut while it cannot.
#
# Rule: whoever cannot serve does not accept; the connection then goes to another worker, or waits in the
# kernel's queue for whoever is free first. Whoever else has a listener open can make it block, or shut it
# down: nobody waits for one, and one that is shut down is closed.

from __future__ import annotations

import _socket
import errno
import os
import resource
import select
import socket
import sys
from collections.abc import Iterator, Sequence
from os import set_blocking  # by name: an application may put its own in its place
from typing import Any, Final, NamedTuple

from bigtop.backends.base import Probe
from bigtop.backends.native.app_queues import ProxiedAddresses
from bigtop.backends.native.timeouts import NEVER, SECOND
from bigtop.backends.native.transport.bare_socket import AnySocket, BareSocket
from bigtop.ipc.handoff import is_shut
from bigtop.ipc.scoreboard import LISTENERS, Word
from bigtop.log import logger as get_logger

log = get_logger("bigtop.backend")

RETRY: Final = SECOND // 10
AF_UNIX: Final = int(socket.AF_UNIX)  # see clock.py
_POLL: Final = select.poll  # kept here: gevent has another one
# accept(2): out of descriptors or memory. The queue stays readable: without a pause the loop would spin.
STARVED: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_WILDCARDS: Final = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
# Of struct tcp_info: tcpi_unacked, which for a listener is the length of its queue (tcp_get_info() of Linux).
_BACKLOG: Final = 24
_ITS_END: Final = 28  # numbers by themselves: mypyc takes bytes by no slice in a variable


class Accepted(NamedTuple):
    """A client that was accepted: its socket, and both addresses as the socket module gives them; from
    another application, what a balancer said there; of a probe, for which scheme it stands."""

    socket: AnySocket
    server: Any
    client: Any
    proxied: ProxiedAddresses | None = None
    scheme: str = ""  # of our supervisor's own, which is not encrypted and begins with no PROXY header


class _Listener(NamedTuple):
    """One of a worker's; `bare` is a copy, from which clients come as bare sockets. None: they have to be of
    gevent's class, which sees to those who wait for them when they are closed."""

    socket: socket.socket
    bare: BareSocket | None
    poll: select.poll  # for clients
    address: Any  # None: another one for each client
    family: int
    type: int
    protocol: int
    counts: bool  # the kernel tells how many wait

    def close(self) -> None:
        self.socket.close()
        if self.bare is not None:
            self.bare.close()


class Acceptor:
    """All listeners of a worker, in one epoll set or out of it together. `words` are those of its slot."""

    def __init__(
        self, listeners: Sequence[socket.socket], epoll: select.epoll, room: int, words: memoryview
    ) -> None:
        self._words = words
        self._counted_at = {
            listener.fileno(): Word.ACCEPTED_AT + min(number, LISTENERS - 1)
            for number, listener in enumerate(listeners)
        }
        self.room = room  # connections that this worker may have open
        self.retry_at = NEVER  # when to try again after running out of descriptors
        self.epoll = epoll
        self._listeners = {listener.fileno(): _listener(listener) for listener in listeners}
        self._addresses = [listener.getsockname() for listener in listeners]
        self.is_open = False

    def __contains__(self, fd: int) -> bool:
        return fd in self._listeners

    def __iter__(self) -> Iterator[int]:
        return iter(self._listeners)

    def set(self, wide: bool) -> None:
        """Open (True) or shut the acceptor, as long as there are descriptors."""
        if wide == self.is_open or (wide and self.retry_at != NEVER):
            return
        self.is_open = wide
        for fd in self._listeners:
            if wide:
                # EPOLLEXCLUSIVE wakes one worker per connection instead of all of them. It cannot be changed
                # by EPOLL_CTL_MOD, hence in and out.
                self.epoll.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)
            else:
                self.epoll.unregister(fd)

    def waiting(self, fd: int, most: int) -> int:
        """Return how many clients can be taken, 1 to `most`. To ask costs less than to take one that is not
        there; and to ask the kernel for their number less than to ask for one after the other."""
        listener = self._listeners[fd]
        if not listener.counts:
            return most
        told = listener.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ITS_END)
        return max(1, min(most, int.from_bytes(told[_BACKLOG:_ITS_END], sys.byteorder)))

    def accept(self, fd: int, now: int, number: int = 0) -> Accepted | None:
        """Take one client; the first, by its `number`, of those that are taken in one go.

        Few in one go: others are awake as well, and want their share of a burst.
        """
        listener, bare, poll, server, family, type_, protocol, counts = self._listeners[fd]
        client: AnySocket
        try:
            if not number:
                set_blocking(fd, False)  # another one may have cleared O_NONBLOCK, for all
            elif not counts and not poll.poll(0):
                return None
            if bare is None:
                client, address = listener.accept()
            else:
                accepted, address = bare._accept()  # type: ignore[attr-defined]  # what accept() calls
                client = BareSocket(family, type_, protocol, accepted)
        except (BlockingIOError, ConnectionAbortedError):
            if family == AF_UNIX and is_shut(listener):
                self._give_up(fd)
            return None
        except OSError as error:
            if error.errno == errno.EINVAL:  # it does not listen any more
                self._give_up(fd)
            elif error.errno in STARVED:
                self.starve(error, now)
            else:
                raise
            return None
        client.setblocking(False)
        self._words[self._counted_at[fd]] += 1
        return Accepted(client, client.getsockname() if server is None else server, address)

    def probed(self, probe: Probe) -> Accepted:
        """Return the supervisor as a client of this machine, at the first listener."""
        probe.socket.setblocking(False)
        address = next(iter(self._addresses), "")
        if not isinstance(address, tuple):
            return Accepted(probe.socket, address, "", scheme=probe.scheme)
        host = "127.0.0.1" if len(address) == 2 else "::1"
        server = (host if address[0] in _WILDCARDS else address[0], *address[1:])
        return Accepted(probe.socket, server, (host, 0, *address[2:]), scheme=probe.scheme)

    def accept_all(self, now: int) -> Iterator[Accepted]:
        """Yield all clients that wait."""
        for fd in tuple(self._listeners):
            while (client := self.accept(fd, now)) is not None:
                yield client

    def close(self) -> None:
        """Close the listeners: as soon as no process has one open, new clients are refused."""
        self.set(False)
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()

    def _give_up(self, fd: int) -> None:
        """Close a listener that somebody shut down: it would be readable for ever."""
        listener = self._listeners.pop(fd)
        where = listener.socket.getsockname()
        log.error(
            "nobody can connect to %s any more: somebody shut that listening socket down; a restart of "
            "Bigtop makes a new one",
            f"{where[0]}:{where[1]}" if isinstance(where, tuple) else where,
        )
        if self.is_open:
            self.epoll.unregister(fd)
        listener.close()

    def starve(self, error: OSError, now: int) -> None:
        """Shut until descriptors may be had again."""
        log.warning("cannot take a connection: %s; trying again soon", error.strerror)
        self.set(False)
        self.retry_at = now + RETRY


def _listener(listener: socket.socket) -> _Listener:
    bare = None
    if issubclass(socket.socket, _socket.socket):  # gevent's, which it is where that took its place, is not
        bare = BareSocket(fileno=os.dup(listener.fileno()))
    for one in (listener, bare):
        if one is not None:
            one.setblocking(False)  # the object; accept() sees to the open socket that all share
    address = listener.getsockname()
    differs = isinstance(address, tuple) and address[0] in _WILDCARDS
    poll = _POLL()
    poll.register(listener.fileno(), select.POLLIN)
    family, kind = int(listener.family), int(listener.type)
    protocol = listener.proto
    counts = sys.platform == "linux" and family != AF_UNIX and protocol in (0, socket.IPPROTO_TCP)
    return _Listener(listener, bare, poll, None if differs else address, family, kind, protocol, counts)


def room(wanted: int) -> int:
    """Return for how many connections there are descriptors, besides those that the application needs.

    A connection that another worker sent is lost when there is no descriptor for it, so none may be taken
    that does not fit.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return wanted
    taken = len(os.listdir("/proc/self/fd"))
    return max(1, min(wanted, (limit - taken) * 7 // 8))
