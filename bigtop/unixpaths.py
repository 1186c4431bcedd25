# Files of unix sockets: who may bind one, who may remove it.
#
# Rule: a path is only ever freed when it is proved that nobody listens there, or when its owner asks for it.

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def alone_in(directory: str) -> Iterator[None]:
    """Keep other starting servers off a directory: two that find the same stale path must not both remove it,
    the second would remove the first one's new socket. flock(2) works on directories and leaves no file."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def make_room(path: str, replace: bool) -> None:
    """Remove a socket file that nobody listens on, or with `replace` any socket file.

    Raises EADDRINUSE for one that is in use and EEXIST for anything else.
    """
    try:
        kind = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise FileExistsError(errno.EEXIST, "exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        # Only "refused" proves that nobody listens: a full backlog is EAGAIN, a foreign one EACCES. A live
        # server merely sees a client that leaves without a word; one of another type is EPROTOTYPE.
        if not replace and probe.connect_ex(path) != errno.ECONNREFUSED:
            raise OSError(errno.EADDRINUSE, "somebody listens there")
    os.unlink(path)


def give(path: str, mode: int | None, owner: str | int | None, group: str | int | None) -> None:
    """Set what is not None; owner and group by name or number. LookupError: there are none of that name."""
    if mode is not None:
        os.chmod(path, mode)
    if owner is not None or group is not None:
        shutil.chown(path, _number_or_name(owner), _number_or_name(group))


def _number_or_name(who: str | int | None) -> Any:
    return int(who) if isinstance(who, str) and who.isdigit() else who


def identity(path: str) -> tuple[int, int] | None:
    """Return device and inode of what is there now."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
