# Files and folders that are trusted with secrets: opened, or refused because others could change them.
#
# Rules: what was opened is what is looked at, never the name. A file counts when its owner is among those
# that the caller trusts and nobody else may write to it; a private one when nobody else may read it either.

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from bigtop.errors import ConfigError

LARGEST: Final = 1 << 20  # bytes of one file
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class TrustError(ConfigError):
    """A file or a folder cannot be trusted, or not be read; the message begins with its path."""


def open_folder(
    name: str, place: str, dir_fd: int | None = None, owners: tuple[int, ...] | None = None
) -> int:
    """Return a descriptor of a folder that belongs to us alone, or to one of the `owners`. Raises TrustError,
    and FileNotFoundError."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    if dir_fd is not None:  # below a folder of ours nothing leads elsewhere; to it, a link may
        flags |= os.O_NOFOLLOW
    try:
        fd = os.open(name, flags, dir_fd=dir_fd)
    except FileNotFoundError:
        raise
    except OSError as error:
        what = "is a link or no folder" if error.errno in (errno.ENOTDIR, errno.ELOOP) else error.strerror
        raise TrustError(f"{place}: {what}") from None
    if trouble := _trouble(os.fstat(fd), owners or (os.geteuid(),), is_private=True):
        os.close(fd)
        raise TrustError(f"{place}: {trouble}")
    return fd


def read(
    name: str, place: str, owners: tuple[int, ...], dir_fd: int | None = None, is_private: bool = True
) -> bytes:
    """Return what is in a regular file of one of the `owners`. Raises TrustError, and FileNotFoundError."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    if dir_fd is not None:
        flags |= os.O_NOFOLLOW
    try:
        fd = os.open(name, flags, dir_fd=dir_fd)
    except FileNotFoundError:
        raise
    except OSError as error:
        what = "is a link" if error.errno == errno.ELOOP else error.strerror
        raise TrustError(f"{place}: {what}") from None
    try:
        status = os.fstat(fd)
        trouble = _trouble(status, owners, is_private)
        if not stat.S_ISREG(status.st_mode):
            trouble = "is no regular file"
        elif status.st_size > LARGEST:
            trouble = f"{status.st_size} bytes are too many: {LARGEST} at most"
        if trouble:
            raise TrustError(f"{place}: {trouble}")
        with os.fdopen(os.dup(fd), "rb") as file:
            return file.read(LARGEST)
    finally:
        os.close(fd)


def _trouble(status: os.stat_result, owners: tuple[int, ...], is_private: bool) -> str:
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid not in owners:
        expected = " or ".join(f"user {uid}" for uid in owners)
        return f"belongs to user {status.st_uid}, not to {expected}: chown gives it back"
    if mode & _OTHERS_WRITE:
        return f"others may write there (mode {mode:04o}): chmod go-w"
    if is_private and mode & _OTHERS:
        return f"others may look into it (mode {mode:04o}): chmod go-rwx"
    return ""
