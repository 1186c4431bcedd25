# Listening sockets in the hands of somebody else's server.
#
# A listener is shared with the other workers, so a server gets a duplicate that it may close, and that does
# not let it change the queue. And there are servers without a way to stop accepting: for those, watched() and
# withdraw() look into their epoll sets from outside. The kernel shows them in /proc/self/fdinfo (proc(5)),
# and any descriptor of an epoll set will do to take something out of it.
#
# Rule: a worker that leaves takes those who wait in the queue if nobody else will, and then has no listener
# open any more. As soon as no process has one, new clients are refused; until then they wait for nobody.

from __future__ import annotations

import os
import re
import select
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

from bigtop.backends.base import Life
from bigtop.errors import ConfigError

REST: Final = 1.0  # seconds for those who wait in the queue of a worker that leaves
_TARGET: Final = re.compile(r"^tfd:\s+(\d+) .* ino:([0-9a-f]+) ", re.MULTILINE)


class SharedListener(socket.socket):
    """A listener whose queue stays as the supervisor made it.

    Servers call listen() with their own ideas of a backlog, and the last call counts for everybody.
    """

    def listen(self, backlog: int = 0, /) -> None:
        """Nothing: it listens."""


_lent: set[int] = set()  # descriptors of duplicates; a server may have closed them


def share(listener: socket.socket) -> SharedListener:
    """Return a duplicate that a server may close."""
    shared = SharedListener(fileno=os.dup(listener.fileno()))
    shared.setblocking(False)
    _lent.add(shared.fileno())
    return shared


def put_in_place(listener: socket.socket, fd: int) -> None:
    """Have `listener` under the number `fd` as well, for a server that takes no socket."""
    os.dup2(listener.fileno(), fd, inheritable=False)
    _lent.add(fd)


def the_only(listeners: Sequence[socket.socket], backend: str) -> socket.socket:
    """Return the listener, for a server that can have one; ConfigError when there are several."""
    if len(listeners) > 1:
        addresses = ", ".join(str(listener.getsockname()) for listener in listeners)
        raise ConfigError(
            f"backend {backend!r} serves one address, but there are {len(listeners)} ({addresses}): "
            "bind one (127.0.0.1 instead of localhost), or choose another --backend"
        )
    return listeners[0]


def epolls_with(listeners: Sequence[socket.socket]) -> set[int]:
    """Return the epoll descriptors of this process that watch one of `listeners`."""
    return {epoll for listener in listeners for epoll, _ in _watchers(listener)}


def is_watched(listener: socket.socket) -> bool:
    """Whether a server of this process waits for connections on `listener` or a duplicate of it."""
    return any(True for _ in _watchers(listener))


def wait_until_watched(listeners: Sequence[socket.socket], server: threading.Thread) -> None:
    """Return when the server in that thread waits for connections, or has ended."""
    while server.is_alive() and not all(map(is_watched, listeners)):
        time.sleep(0.005)


def unclaimed(listeners: Sequence[socket.socket], life: Life) -> Iterator[None]:
    """Yield for as long as clients wait whom no other worker will take, within limits: to the server that
    still accepts. withdraw() comes after that."""
    if life.handoff is not None and life.handoff.has_heir():
        return
    queues = select.poll()
    for listener in listeners:
        queues.register(listener, select.POLLIN)
    until = time.monotonic() + min(life.grace, REST)
    while queues.poll(0) and time.monotonic() < until:
        yield


def withdraw(listeners: Sequence[socket.socket]) -> None:
    """Let no server of this process see another connection on `listeners`, and close them.

    A server that does not know that still holds duplicates. What comes under their numbers instead accepts,
    and is nowhere to be found: an abstract unix socket with a name of the kernel's choice (unix(7)).
    """
    inodes = {os.fstat(listener.fileno()).st_ino for listener in listeners}
    for listener in listeners:
        for epoll, fd in list(_watchers(listener)):
            # fromfd() owns what it is given.
            with select.epoll.fromfd(os.dup(epoll)) as watching, suppress(OSError):
                watching.unregister(fd)
        listener.close()
    with socket.socket(socket.AF_UNIX) as nobody:
        nobody.bind("")
        nobody.listen()
        nobody.setblocking(False)
        for fd in _lent:
            with suppress(OSError):  # the server closed it
                if os.fstat(fd).st_ino in inodes:
                    os.dup2(nobody.fileno(), fd, inheritable=False)
    _lent.clear()


def _watchers(listener: socket.socket) -> Iterator[tuple[int, int]]:
    """Yield the epoll sets that hold the listener, and the descriptor under which they do."""
    inode = os.fstat(listener.fileno()).st_ino
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}") == "anon_inode:[eventpoll]":
                with open(f"/proc/self/fdinfo/{name}") as info:
                    for target in _TARGET.finditer(info.read()):
                        if int(target[2], 16) == inode:
                            yield int(name), int(target[1])
