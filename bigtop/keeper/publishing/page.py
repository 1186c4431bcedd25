# Page: challenges as workers find them, in memory that a keeper writes and workers read.
#
# A CA may come as soon as it was told that a challenge is met. So what is written here can be read by all
# workers at once, also by one that is forked later, and nobody passes it on. A page outlives its keepers.
#
# Rules: workers import this file, so it needs no cryptography. They have a descriptor with which nothing can
# be written. Who reads while somebody writes sees that by the checksum, and reads again.

from __future__ import annotations

import hashlib
import os
from typing import Final

_SIZE: Final = 32  # bytes of the checksum, in front of the content
_TRIES: Final = 10


def create() -> tuple[int, int]:
    """Return descriptors of an empty page: for who writes it, and for who reads it."""
    fd = os.memfd_create("bigtop-challenges", os.MFD_CLOEXEC)
    try:
        return fd, os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        os.close(fd)
        raise


def write(fd: int, data: bytes) -> None:
    """Have this be what is read from now on."""
    text = hashlib.sha256(data).digest() + data
    done = 0
    while done < len(text):
        done += os.pwrite(fd, text[done:], done)
    os.ftruncate(fd, len(text))


def read(fd: int) -> bytes:
    """Return what was written last, b"" if nothing was, or while that cannot be told."""
    for _ in range(_TRIES):
        text = os.pread(fd, os.fstat(fd).st_size, 0)
        if hashlib.sha256(text[_SIZE:]).digest() == text[:_SIZE]:
            return text[_SIZE:]
    return b""
