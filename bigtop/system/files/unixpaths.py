# Addresses of unix sockets: who may bind a file, who may remove it; and names that are no files.
#
# Rules: a path is only ever freed when it is proved that nobody listens there, or when its owner asks for it.
# What begins with @ is the name of an abstract socket (unix(7)): the kernel alone knows it, it has no mode
# and no owner, and it is gone with its socket. A file of that name is ./@name.

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from bigtop.system import accounts
from bigtop.system.files import safeopen

LONGEST = 107  # bytes of sockaddr_un.sun_path, less its NUL


def is_abstract(path: str) -> bool:
    return path.startswith("@")


def absolute(path: str, base: str = "") -> str:
    """Return `path` as it is found from everywhere; relative ones count from `base`."""
    return path if is_abstract(path) else os.path.abspath(os.path.join(base, path))


def problem(path: str) -> str:
    """Return why no socket can be bound to `path`, "" if it seems that one can."""
    if is_abstract(path):
        too_long = len(os.fsencode(path)) > LONGEST + 1  # the @ stands for a zero
        return f"{path} is longer than the {LONGEST} bytes that such a name may have" if too_long else ""
    path = os.path.abspath(path)
    folder = os.path.dirname(path)
    if len(os.fsencode(path)) > LONGEST:
        return f"{path} is longer than the {LONGEST} bytes that a unix socket may have"
    if not os.path.isdir(folder):
        return f"there is no directory {folder}"
    if os.path.lexists(path) and not stat.S_ISSOCK(os.lstat(path).st_mode):
        return f"{path} exists and is not a socket"
    return ""


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


def give(
    path: str,
    mode: int | None,
    owner: str | int | None,
    group: str | int | None,
    bound: tuple[int, int] | None = None,
) -> None:
    """Set what is not None; owner and group by name or number. LookupError: there are none of that name.

    Only ever of our socket: whoever owns the folder may have put something else in its place. `bound` is its
    identity; without, it has just been bound, and is the user's that we are.
    """
    if mode is None and owner is None and group is None:
        return
    with safeopen.place(path) as place:
        fd = os.open(place.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.folder)
    try:
        status = os.fstat(fd)
        is_ours = (status.st_dev, status.st_ino) == bound if bound else status.st_uid == os.geteuid()
        if not is_ours or not stat.S_ISSOCK(status.st_mode) or status.st_nlink != 1:
            raise OSError(errno.ELOOP, "somebody put another file in the place of our socket", path)
        if mode is not None:
            os.chmod(f"/proc/self/fd/{fd}", mode)
        if owner is not None or group is not None:
            uid = -1 if owner is None else accounts.uid_of(str(owner))
            gid = -1 if group is None else accounts.gid_of(str(group))
            os.chown(f"/proc/self/fd/{fd}", uid, gid)
    finally:
        os.close(fd)


def identity(path: str) -> tuple[int, int] | None:
    """Return device and inode of what is there now."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
