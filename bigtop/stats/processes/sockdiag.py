# Queues of listening sockets: how many connections wait to be accepted, and how many may.
#
# Asked of the kernel by netlink, sock_diag(7): one question for each family, whoever holds the sockets.

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple


class Queue(NamedTuple):
    """Connections that wait to be accepted, and how many may."""

    waiting: int
    limit: int


_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_REQUEST_DUMP: Final = 0x1 | 0x300  # NLM_F_REQUEST | NLM_F_DUMP
_LISTENING: Final = 1 << 10  # of TCP's states, which unix sockets share
_SHOW_QUEUE: Final = 0x10  # UDIAG_SHOW_RQLEN
_UNIX_DIAG_RQLEN: Final = 4
_HEADER: Final = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_INET_ASKED: Final = struct.Struct("=BBBxI48x")  # inet_diag_req_v2: family, protocol, extensions, states, id
_INET_FOUND: Final = struct.Struct("=4B48xIIIII")  # inet_diag_msg; ends with queue, limit, uid, inode
_UNIX_ASKED: Final = struct.Struct("=BBHIIIII")  # unix_diag_req: family, protocol, -, states, inode, show, id
_UNIX_FOUND: Final = struct.Struct("=BBBBIII")  # unix_diag_msg: family, type, state, -, inode, id
_ATTRIBUTE: Final = struct.Struct("=HH")  # nlattr: length, type
_QUEUE: Final = struct.Struct("=II")
_BUFFER: Final = 65536
_PATIENCE: Final = 1.0  # seconds for an answer of the kernel, which gives it at once


def queues() -> dict[int, Queue]:
    """Return the queue of each listening TCP and unix socket of this network namespace, by inode.

    Raises OSError where the kernel is not to be asked.
    """
    found: dict[int, Queue] = {}
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, _NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(_PATIENCE)
        for family in (socket.AF_INET, socket.AF_INET6):
            asked = _INET_ASKED.pack(family, socket.IPPROTO_TCP, 0, _LISTENING)
            found.update(filter(None, map(inet_queue, _answers(kernel, asked))))
        asked = _UNIX_ASKED.pack(socket.AF_UNIX, 0, 0, _LISTENING, 0, _SHOW_QUEUE, 0, 0)
        found.update(filter(None, map(unix_queue, _answers(kernel, asked))))
    return found


def _answers(kernel: socket.socket, asked: bytes) -> Iterator[bytes]:
    size = _HEADER.size + len(asked)
    kernel.send(_HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 1, 0) + asked)
    while True:
        for kind, body in messages(kernel.recv(_BUFFER)):
            if kind == _NLMSG_DONE:
                return
            if kind == _NLMSG_ERROR:  # this family is unknown to the kernel, or may not be asked about
                return
            yield body


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the type and the body of each netlink message."""
    at = 0
    while at + _HEADER.size <= len(data):
        size, kind, *_ = _HEADER.unpack_from(data, at)
        if size < _HEADER.size:
            return
        yield kind, data[at + _HEADER.size : at + size]
        at += size + 3 & ~3


def inet_queue(body: bytes) -> tuple[int, Queue] | None:
    """Return inode and queue of an inet_diag_msg."""
    if len(body) < _INET_FOUND.size:
        return None
    *_, waiting, limit, _uid, inode = _INET_FOUND.unpack_from(body)
    return inode, Queue(waiting, limit)


def unix_queue(body: bytes) -> tuple[int, Queue] | None:
    """Return inode and queue of a unix_diag_msg; None where it tells none."""
    if len(body) < _UNIX_FOUND.size:
        return None
    inode = _UNIX_FOUND.unpack_from(body)[4]
    at = _UNIX_FOUND.size
    while at + _ATTRIBUTE.size <= len(body):
        size, kind = _ATTRIBUTE.unpack_from(body, at)
        if kind == _UNIX_DIAG_RQLEN and at + _ATTRIBUTE.size + _QUEUE.size <= len(body):
            return inode, Queue(*_QUEUE.unpack_from(body, at + _ATTRIBUTE.size))
        if size < _ATTRIBUTE.size:
            return None
        at += size + 3 & ~3
    return None
