# Log files and pid files, opened where other users may write as well.
#
# Who owns a folder decides what its names mean. A supervisor that runs as root and writes to a log in the
# folder of its workers' user must not be led elsewhere: by a symbolic link, by a second link to somebody's
# file, by an exchange of a folder further up.
#
# Rules: a path is walked name by name, each looked up in the folder that was opened before it, so nobody can
# exchange what was checked. A name is *kept* when only root or we can change what it stands for: all folders
# on the way are root's or ours and nobody else may write there, or, in a folder like /tmp (sticky), the entry
# itself is root's or ours. Links are followed where they are kept, and refused elsewhere (compare
# fs.protected_symlinks in proc_sys_fs(5)). What is not kept is written to only if it is a regular file with
# one name. Owner and mode are set on the descriptor, never by name.

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bigtop.record import Record

_PATH: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC
_LINKS: Final = 40  # as many as Linux follows
_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


class FolderEntry(Record):
    """A name in a folder that is open; `kept` says whether only root or we can change what it stands for."""

    folder: int
    name: str
    kept: bool

    def status(self) -> os.stat_result | None:
        """Return what is there now, be it a link; None: nothing."""
        return _status(self.folder, self.name)


class Opened(Record):
    """A descriptor, open for writing, and how it was come by."""

    fd: int
    kept: bool
    made: bool  # by us, just now
    rotates: bool = False  # it is a regular file that has its name here, so that it can be renamed
    is_pipe: bool = False  # a named one, which may have no reader for ever

    def give(self, uid: int, gid: int, mode: int | None = None) -> None:
        """Set owner, group and mode; -1 and None leave them. PermissionError if it may be a secret file.

        Whoever can rename files in a folder can give any file there, one of root's too, the name of a log.
        Devices and our own descriptors are left as they are.
        """
        if not (self.rotates or self.is_pipe):
            return
        now = os.fstat(self.fd)
        wanted = (uid if uid >= 0 else now.st_uid, gid if gid >= 0 else now.st_gid)
        is_new = self.made or now.st_size == 0
        differs = wanted != (now.st_uid, now.st_gid) or (mode or 0) & ~stat.S_IMODE(now.st_mode)
        if differs and not (self.kept or is_new):
            raise PermissionError(
                errno.EPERM,
                f"its owner and mode are not changed, since it is user {now.st_uid}'s and others may rename "
                "files there; move it away, or give it to its new owner yourself",
            )
        if wanted != (now.st_uid, now.st_gid):
            os.fchown(self.fd, *wanted)
        if mode is not None:
            os.fchmod(self.fd, mode)


@contextmanager
def place(path: str) -> Iterator[FolderEntry]:
    """Walk to where `path` leads; OSError says what is in the way. Its last name need not exist."""
    folder, name, kept = _walk(path if path.startswith("/") else os.path.join(os.getcwd(), path))
    try:
        yield FolderEntry(folder, name, kept)
    finally:
        os.close(folder)


def append(path: str, mode: int) -> Opened:
    """Open `path` to append to it, never to wait for a reader; make it with `mode` if it is not there.

    What the path names may be a device, a named pipe or one of our own descriptors (/dev/stdout).
    """
    with place(path) as where:
        own = _own_descriptor(where)
        if own is not None:
            return Opened(_again(own), kept=True, made=False)
        there = where.status()
        if there is not None and stat.S_ISFIFO(there.st_mode) and where.kept:
            return Opened(_open_pipe(where), kept=True, made=False, is_pipe=True)
        if there is not None and not stat.S_ISREG(there.st_mode) and not where.kept:
            raise _refused(path, "is no regular file, and lies where another user can write")
        return _open_file(where, path, mode)


def is_plain(path: str) -> bool:
    """Whether a regular file is there or could be made; False for devices, pipes and our own descriptors."""
    with place(path) as where:
        there = where.status()
        return _own_descriptor(where) is None and (there is None or stat.S_ISREG(there.st_mode))


def _open_file(where: FolderEntry, path: str, mode: int) -> Opened:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY | os.O_NONBLOCK
    made = False
    try:
        fd = os.open(where.name, flags, dir_fd=where.folder)
    except FileNotFoundError:
        try:
            fd = os.open(where.name, flags | os.O_CREAT | os.O_EXCL, mode, dir_fd=where.folder)
            made = True
        except FileExistsError:  # another process of ours was quicker
            fd = os.open(where.name, flags, dir_fd=where.folder)
    status = os.fstat(fd)
    is_file = stat.S_ISREG(status.st_mode)
    if not where.kept and (not is_file or status.st_nlink != 1):
        os.close(fd)
        raise _refused(path, "has another name elsewhere, and lies where another user can write")
    if is_file:
        os.set_blocking(fd, True)
    return Opened(fd, where.kept, made, is_file)


def _open_pipe(where: FolderEntry) -> int:
    """Open a named pipe without waiting for its reader, and keep what is in it while there is none."""
    flags = os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(where.name, os.O_RDWR | flags, dir_fd=where.folder)
    except PermissionError:
        return os.open(where.name, os.O_WRONLY | flags, dir_fd=where.folder)


def _refused(path: str, why: str) -> OSError:
    return OSError(errno.ELOOP, f"{why}, who could lead us to any file", path)


# ---- our own descriptors: /dev/stdout, /dev/fd/7, /proc/self/fd/7


def _own_descriptor(where: FolderEntry) -> int | None:
    """Return which descriptor of ours is meant. Such a link leads to what is open, not to what it says."""
    return int(where.name) if _is_magic(where.folder, where.name) else None


def _again(fd: int) -> int:
    """Return a descriptor for what `fd` is; a pipe or a terminal can then be written without waiting."""
    kind = os.fstat(fd).st_mode
    if stat.S_ISFIFO(kind) or stat.S_ISCHR(kind):
        try:
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            return os.open(f"/proc/self/fd/{fd}", flags)
        except OSError:  # another user's
            pass
    return os.dup(fd)  # of a file: whoever else writes to it shares its place


def own(fd: int) -> Opened:
    """Open a descriptor of ours once more."""
    return Opened(_again(fd), kept=True, made=False)


# ---- the walk


def _walk(path: str) -> tuple[int, str, bool]:
    """Return the folder, open, the last name, and whether that is kept."""
    folder = os.open("/", _PATH | os.O_DIRECTORY)
    kept, links = True, 0
    names = _names(path)
    try:
        while True:
            name = names.pop() if names else "."
            status = _status(folder, name)
            is_kept = kept and _is_kept(os.fstat(folder), status)
            if status is not None and stat.S_ISLNK(status.st_mode) and not _is_magic(folder, name):
                links += 1
                if not is_kept:
                    raise _refused(
                        path, f"leads over the symbolic link {name!r}, which another user can change"
                    )
                if links > _LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                target = os.readlink(name, dir_fd=folder)
                names += _names(target)
                if target.startswith("/"):
                    folder = _into(folder, "/")
                continue
            if not names:
                return folder, name, is_kept
            folder, kept = _into(folder, name), is_kept
    except OSError as error:
        os.close(folder)
        error.filename = path
        raise


def _names(path: str) -> list[str]:
    """Return the names of a path, the last one first."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _into(folder: int, name: str) -> int:
    below = os.open(name, _PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    os.close(folder)
    return below


def _status(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _is_kept(folder: os.stat_result, entry: os.stat_result | None) -> bool:
    if folder.st_uid not in (0, os.geteuid()):
        return False
    if not folder.st_mode & _OTHERS:
        return True
    # A group that is the user's own (umask 002) has nobody else in it.
    if not folder.st_mode & stat.S_IWOTH and os.geteuid() and folder.st_gid == os.getegid():
        return True
    return bool(folder.st_mode & stat.S_ISVTX) and entry is not None and entry.st_uid in (0, os.geteuid())


def _is_magic(folder: int, name: str) -> bool:
    """Whether it is one of the links to open files in /proc/self/fd."""
    if not name.isdecimal():
        return False
    try:
        return os.path.samestat(os.fstat(folder), os.stat("/proc/self/fd"))
    except FileNotFoundError:  # no /proc here
        return False
