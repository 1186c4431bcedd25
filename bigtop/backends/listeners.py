# Listening sockets in the hands of somebody else's server.
#
# A listener is shared with the other workers, so a server gets a duplicate that it may close, and that does
# not let it change the queue. And there are servers without a way to stop accepting: for those, watched() and
# withdraw() look into their epoll sets from outside. The kernel shows them in /proc/self/fdinfo (proc(5)),
# and any descriptor of an epoll set will do to take something out of it.

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

from bigtop.errors import ConfigError

_TARGET: Final = re.compile(r"^tfd:\s+(\d+) .* ino:([0-9a-f]+) ", re.MULTILINE)


class SharedListener(socket.socket):
    """A listener whose queue stays as the supervisor made it.

    Servers call listen() with their own ideas of a backlog, and the last call counts for everybody.
    """

    def listen(self, backlog: int = 0, /) -> None:
        """Nothing: it listens."""


def share(listener: socket.socket) -> SharedListener:
    """Return a duplicate that a server may close."""
    shared = SharedListener(fileno=os.dup(listener.fileno()))
    shared.setblocking(False)
    return shared


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


def withdraw(listeners: Sequence[socket.socket]) -> None:
    """Let no server of this process see another connection on `listeners`."""
    for listener in listeners:
        for epoll, fd in list(_watchers(listener)):
            # fromfd() owns what it is given.
            with select.epoll.fromfd(os.dup(epoll)) as watching, suppress(OSError):
                watching.unregister(fd)


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
