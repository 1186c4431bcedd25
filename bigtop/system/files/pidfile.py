# The file that holds a daemon's process id.
#
# Rules: who holds the lock on the file (flock(2)) holds the name, whatever number is in it: the kernel lets
# go of the lock when its holder ends, and numbers are used again. A number is written beside its place and
# moved there, so nobody reads half of one; only the process that wrote it removes it. Nothing is written
# through a link, nor into a file that somebody else has put there.

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator

from bigtop.errors import AlreadyRunsError, ConfigError
from bigtop.system.files import safeopen
from bigtop.system.files.safeopen import FolderEntry

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_MODE = 0o644


@contextlib.contextmanager
def held(path: str | None, before: int | None = None) -> Iterator[int | None]:
    """Keep `path` holding our pid while inside, by the descriptor that is yielded; None keeps nothing.
    `before` is that of ourselves, before an exec; where that is of another file, leave() is for it.

    AlreadyRunsError when another process holds it, ConfigError when it cannot be written.
    """
    if path is None:
        yield None
        return
    try:
        with safeopen.place(path) as place:
            lock = _take(path, place) if before is None or not _is_at(before, place) else before
    except OSError as error:
        raise ConfigError(f"--pid {path}: {error.strerror}") from error
    try:
        yield lock
    finally:
        with contextlib.suppress(OSError), safeopen.place(path) as place:
            if _is_at(lock, place):
                os.unlink(place.name, dir_fd=place.folder)
        os.close(lock)


def leave(before: int) -> None:
    """Remove the file that we held before an exec by this descriptor, which is closed."""
    path = os.readlink(f"/proc/self/fd/{before}")
    with contextlib.suppress(OSError), safeopen.place(path) as place:
        if _is_at(before, place):
            os.unlink(place.name, dir_fd=place.folder)
    os.close(before)


def _take(path: str, place: FolderEntry) -> int:
    """Return the descriptor of the new file, locked and in its place."""
    while True:
        before = os.open(place.name, _FLAGS, _MODE, dir_fd=place.folder)
        try:
            if not stat.S_ISREG(os.fstat(before).st_mode):
                raise ConfigError(f"--pid {path}: is no regular file")
            _lock(before, path)
            if _is_at(before, place):  # else its holder has just replaced or removed it
                return _replace(place)
        finally:
            os.close(before)


def _replace(place: FolderEntry) -> int:
    """Put a new file in the place of the one that is locked, which may be anybody's."""
    draft = f"{place.name}.{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):  # of a process that was killed
        os.unlink(draft, dir_fd=place.folder)
    fd = os.open(draft, _FLAGS | os.O_EXCL, _MODE, dir_fd=place.folder)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(fd, f"{os.getpid()}\n".encode())
        os.replace(draft, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
    except OSError:
        os.close(fd)
        raise
    return fd


def _lock(fd: int, path: str) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        number = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
        raise AlreadyRunsError(
            f"--pid {path}: already runs as process {number or '(starting)'}; stop it or choose another file"
        ) from None


def _is_at(fd: int, place: FolderEntry) -> bool:
    there = place.status()
    return there is not None and os.path.samestat(there, os.fstat(fd))
