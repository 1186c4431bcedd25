# Storage: a folder in which keepers of several machines find the same accounts, certificates and challenges.
#
# Rules: it belongs to one user and is closed to all others (0700, files 0600); what is not so is refused, and
# never repaired in silence. A file is whole or not there: written beside, synchronised, renamed. Its first
# line is the checksum of the rest, which is plain text for people. A key is a path of plain names below the
# folder; nothing a stranger sends becomes one unchecked.

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from bigtop.errors import BigtopError
from bigtop.keeper import trusted

_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,180}")
_HEAD: Final = re.compile(rb"# sha256 ([0-9a-f]{64})\n")
_NEW: Final = ".new-"
_FORGOTTEN: Final = 3600.0  # seconds after which what was begun to be written is nobody's
_VOLATILE: Final = frozenset({"overlay", "tmpfs", "ramfs", "aufs"})


class StorageError(BigtopError):
    """Something in the storage cannot be trusted or used; the message begins with the path."""


class Storage:
    """Any thread, any process, any machine. Raises TrustError when the folder cannot be trusted."""

    def __init__(self, path: str, owner: int | None = None) -> None:
        """Open the folder of ours, and make it when it is not there; its parent has to be. With an `owner` it
        is that user's, has to be there, and is only read (FileNotFoundError)."""
        self.path = os.path.abspath(path)
        self._owners = (os.geteuid() if owner is None else owner,)
        if owner is None:
            with suppress(FileExistsError):
                _make(self.path, self.path)
        self._root = trusted.open_folder(self.path, self.path, owners=self._owners)

    def close(self) -> None:
        os.close(self._root)

    def load(self, key: str) -> bytes | None:
        """Return what was stored, None if nothing is. Raises TrustError, StorageError if it is damaged."""
        folder, name = self._split(key)
        place = self.place(key)
        try:
            with self._telling(key), self._folder(folder) as fd:
                text = trusted.read(name, place, self._owners, fd)
        except FileNotFoundError:
            return None
        return unsealed(text, place)

    def store(self, key: str, data: bytes) -> None:
        """Keep `data`, as a whole or not at all, and on the disk when this returns."""
        folder, name = self._split(key)
        with self._telling(key), self._folder(folder, makes=True) as fd:
            temporary = f"{_NEW}{os.urandom(8).hex()}"
            _write(temporary, sealed(data), fd)
            os.rename(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)
            os.fsync(fd)

    def create(self, key: str, data: bytes) -> bool:
        """Keep `data` if nothing is there yet, and return whether that was so. Who reads it in that moment
        may find less than all of it, which is damaged for load()."""
        folder, name = self._split(key)
        with self._telling(key), self._folder(folder, makes=True) as fd:
            try:
                _write(name, sealed(data), fd)
            except FileExistsError:
                return False
            os.fsync(fd)
        return True

    def delete(self, key: str) -> None:
        folder, name = self._split(key)
        with suppress(FileNotFoundError), self._telling(key), self._folder(folder) as fd:
            os.unlink(name, dir_fd=fd)

    def names(self, folder: str) -> list[str]:
        """Return what is in a folder of the storage, without what is being written."""
        try:
            with self._telling(folder), self._folder(folder) as fd:
                return sorted(name for name in os.listdir(fd) if _NAME.fullmatch(name))
        except FileNotFoundError:
            return []

    def changed_at(self, key: str) -> float:
        """Return when something was written, by the clock of who keeps the files; 0 if it is not there."""
        folder, name = self._split(key)
        try:
            with self._telling(key), self._folder(folder) as fd:
                return os.stat(name, dir_fd=fd, follow_symlinks=False).st_mtime
        except FileNotFoundError:
            return 0.0

    def open_lock(self, key: str) -> int:
        """Return a descriptor of a file without content, for flock(2)."""
        folder, name = self._split(key)
        with self._telling(key), self._folder(folder, makes=True) as fd:
            return os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=fd)

    def tidy(self, folder: str) -> None:
        """Remove from a folder what somebody began to write who was killed meanwhile."""
        with suppress(FileNotFoundError), self._telling(folder), self._folder(folder) as fd:
            for name in os.listdir(fd):
                with suppress(FileNotFoundError):
                    age = time.time() - os.stat(name, dir_fd=fd, follow_symlinks=False).st_mtime
                    if name.startswith(_NEW) and age > _FORGOTTEN:
                        os.unlink(name, dir_fd=fd)

    def place(self, key: str) -> str:
        """Return the path of what has this key, for messages."""
        return os.path.join(self.path, key)

    def _split(self, key: str) -> tuple[str, str]:
        parts = key.split("/")
        if not all(map(_NAME.fullmatch, parts)):
            raise StorageError(f"{self.path}: {key!r} cannot be the name of anything in it")
        return "/".join(parts[:-1]), parts[-1]

    @contextmanager
    def _telling(self, key: str) -> Iterator[None]:
        """Have whatever the file system says become a StorageError, but for what is not there."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StorageError(f"{self.place(key)}: {error.strerror}") from None

    @contextmanager
    def _folder(self, path: str, makes: bool = False) -> Iterator[int]:
        """Yield a descriptor of a folder below the root; each on the way is looked at."""
        fd = os.dup(self._root)
        try:
            for part in filter(None, path.split("/")):
                place = self.place(path)
                if makes:
                    with suppress(FileExistsError):
                        _make(part, place, fd)
                below = trusted.open_folder(part, place, fd, self._owners)
                os.close(fd)
                fd = below
            yield fd
        finally:
            os.close(fd)


def sealed(data: bytes) -> bytes:
    """Return the content of a file: a checksum and `data`."""
    return b"# sha256 %s\n" % _checksum(data) + data


def unsealed(text: bytes, place: str) -> bytes:
    """Return what sealed() was given. Raises StorageError."""
    head = _HEAD.match(text)
    if head is None:
        raise StorageError(f"{place}: does not begin with a checksum, so nobody knows whether it is whole")
    data = text[head.end() :]
    if _checksum(data) != head[1]:
        raise StorageError(
            f"{place}: was changed or cut since it was written; delete it to have it made anew"
        )
    return data


def _checksum(data: bytes) -> bytes:
    import hashlib  # OpenSSL comes with it; a supervisor reads no storage

    return hashlib.sha256(data).hexdigest().encode()


def file_name(host: str) -> str:
    """Return the name that goes for a host: `_` for the star of a wildcard, and for colons of addresses."""
    return host.lower().replace("*", "_").replace(":", "_")


def volatile_kind_of(folder: str) -> str:
    """Return the kind of the file system of a folder if that is gone with its container or at the next boot,
    "" for others."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
            return volatile_kind(file.read(), os.stat(folder).st_dev)
    except OSError:
        return ""


def volatile_kind(mounts: str, device: int) -> str:
    """Return the kind of a file system that is gone with its container or at the next boot, "" for others.

    `mounts` is /proc/self/mountinfo (proc(5)), `device` the st_dev of a folder.
    """
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in mounts.splitlines():
        before, _, behind = line.partition(" - ")
        if before.split()[2:3] == [wanted] and behind.split()[:1]:
            kind = behind.split()[0]
            return kind if kind in _VOLATILE else ""
    return ""


def _make(name: str, place: str, dir_fd: int | None = None) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=dir_fd)
    except FileNotFoundError:
        raise StorageError(f"{place}: the folder above it is not there") from None
    except FileExistsError:
        raise
    except OSError as error:
        raise StorageError(f"{place}: {error.strerror}") from None


def _write(name: str, text: bytes, dir_fd: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    fd = os.open(name, flags, stat.S_IRUSR | stat.S_IWUSR, dir_fd=dir_fd)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(fd)
    except OSError:  # the disk is full
        with suppress(OSError):
            os.unlink(name, dir_fd=dir_fd)
        raise
