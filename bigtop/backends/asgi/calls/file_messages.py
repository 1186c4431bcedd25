# Files that an application sends by a message: http.response.pathsend and http.response.zerocopysend.
#
# What a file holds on the disk is sent by the kernel (`send_file`). What is made as it is read, as in /proc,
# is read through, and sent as a body is (`send`).

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

from bigtop.backends.native.handlers.file_answers import is_stored, read_through
from bigtop.http.handlers import FilePart
from bigtop.http.interfaces.asgi import Message

Send = Callable[[Message], Awaitable[None]]
SendFile = Callable[[Message, FilePart, bool], Awaitable[None]]  # the last is whether more follows


async def send_path(message: Message, send: Send, send_file: SendFile) -> None:
    """Send the file that pathsend names."""
    path = message.get("path")
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise TypeError(f"path of http.response.pathsend is {type(path).__name__}, not str")
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if is_stored(status):
            await send_file(message, FilePart(fd, 0, status.st_size), False)
        else:
            for piece in read_through(fd, 0, None):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body"})
    finally:
        os.close(fd)


async def send_open_file(message: Message, send: Send, send_file: SendFile) -> None:
    """Send what zerocopysend names of an open file."""
    fd = _descriptor(message.get("file"))
    offset, count = _number(message, "offset"), _number(message, "count")
    more = bool(message.get("more_body", False))
    start = os.lseek(fd, 0, os.SEEK_CUR) if offset is None else offset
    status = os.fstat(fd)
    if is_stored(status):
        left = max(0, status.st_size - start)
        part = FilePart(fd, start, left if count is None else min(count, left))
        end = start + part.count
        await send_file(message, part, more)
    else:
        end = start
        for piece in read_through(fd, start, count):
            end += len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "more_body": more})
    if offset is None:
        os.lseek(fd, end, os.SEEK_SET)


def _descriptor(file: object) -> int:
    """Return the descriptor of what zerocopysend says is an open file, or the descriptor of one."""
    fileno: Any = getattr(file, "fileno", None)
    fd: object = file if fileno is None else fileno()
    if isinstance(fd, bool) or not isinstance(fd, int):
        raise TypeError(f"file of http.response.zerocopysend is {type(file).__name__}, not an open file")
    return int(fd)


def _number(message: Message, key: str) -> int | None:
    """Return what zerocopysend says of bytes, None if nothing."""
    value: object = message.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{key} of http.response.zerocopysend is {type(value).__name__}, not int")
    number = int(value)
    if number < 0:
        raise ValueError(f"{key} of http.response.zerocopysend is {number}, which is less than 0")
    return number
