# The listening sockets: open while this worker can begin something, shut while it cannot.
#
# Rule: whoever cannot serve does not accept; the connection then goes to another worker, or waits in the
# kernel's queue for whoever is free first.

from __future__ import annotations

import errno
import logging
import select
import socket
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from bigtop.backends.deadlines import NEVER, SECOND

log = logging.getLogger("bigtop.backend")

BATCH: Final = (
    8  # connections accepted per wake-up: few, so that the other workers get their share of a burst
)
RETRY: Final = SECOND // 10
# accept(2): out of descriptors or memory. The queue stays readable: without a pause the loop would spin.
STARVED: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class Newcomer(NamedTuple):
    """A client that was accepted: its socket, and both addresses as the socket module gives them."""

    socket: socket.socket
    server: Any
    client: Any


class Gate:
    """All listeners of a worker, in one epoll set or out of it together."""

    def __init__(self, listeners: Sequence[socket.socket], epoll: select.epoll) -> None:
        self.retry_at = NEVER  # when to try again after running out of descriptors
        self.epoll = epoll
        self._listeners = {listener.fileno(): (listener, listener.getsockname()) for listener in listeners}
        self.is_open = False
        for listener in listeners:
            # Also for the other workers: O_NONBLOCK belongs to the open socket that all of them share.
            listener.setblocking(False)

    def __contains__(self, fd: int) -> bool:
        return fd in self._listeners

    def __iter__(self) -> Iterator[int]:
        return iter(self._listeners)

    def set(self, wide: bool) -> None:
        """Open (True) or shut the gate, as long as there are descriptors."""
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

    def retry(self) -> None:
        """Open again after running out of descriptors."""
        self.retry_at = NEVER
        self.set(True)

    def accept(self, fd: int, now: int) -> Iterator[Newcomer]:
        """Yield the clients that wait, not too many at once."""
        listener, server = self._listeners[fd]
        for _ in range(BATCH):
            try:
                client, address = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in STARVED:
                    raise
                self._starve(error, now)
                return
            client.setblocking(False)
            yield Newcomer(client, server, address)

    def _starve(self, error: OSError, now: int) -> None:
        log.warning("cannot accept a connection: %s; trying again soon", error.strerror)
        self.set(False)
        self.retry_at = now + RETRY
