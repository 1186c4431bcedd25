# What a supervisor, its fork servers and its workers say to each other.
#
# Rules: one message is one datagram on a SOCK_SEQPACKET pair, written as JSON, so nobody ever holds half a
# message. Decoding never runs code: an application that took over its worker must not gain the supervisor
# (hence no pickle). Whoever reads end-of-file knows that the other side is gone, however it went.
#
# Nothing here knows who sends what when: see supervisor/forkservers.py (the parent's side),
# workers/forkserver.py and workers/life.py (the children's sides).

from __future__ import annotations

import array
import json
import os
import socket
import sys
from dataclasses import asdict, dataclass, fields

MAX_MESSAGE = 65536  # a traceback is cut to fit; far below the default socket buffer (212,992 on Linux)
_FD_SIZE = array.array("i").itemsize
_CLOEXEC = socket.MSG_CMSG_CLOEXEC if sys.platform == "linux" else 0  # received ones are not, by PEP 446
_ROOM_FOR_FDS = socket.CMSG_SPACE(4 * _FD_SIZE)  # the kernel closes what does not fit


# ---- supervisor -> fork server


@dataclass(frozen=True, slots=True)
class Fork:
    """Fork the worker `key` as number `wid`. With it travel its lifeline end and its stderr."""

    key: int
    wid: int


# ---- fork server -> supervisor


@dataclass(frozen=True, slots=True)
class Loaded:
    """The fork server is open for business. `preloaded` is false when each worker imports for itself.

    `reason` says why not ("off", or what the import left behind: threads, sockets).
    """

    preloaded: bool
    interface: str
    reason: str


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """The application cannot be imported; the fork server ends after this message."""

    message: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Forked:
    """Worker `key` runs as `pid` and is the supervisor's own child by the time this is sent."""

    key: int
    pid: int


@dataclass(frozen=True, slots=True)
class ForkFailed:
    """There is no worker `key` (fork(2): out of processes or memory)."""

    key: int
    reason: str


# ---- worker -> supervisor


@dataclass(frozen=True, slots=True)
class Ready:
    """The application is loaded, the backend accepts. `interface` is "wsgi" or "asgi"."""

    interface: str


@dataclass(frozen=True, slots=True)
class BootFailed:
    """The worker could not load its application; it exits after this message."""

    message: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Retire:
    """The worker asks for a successor (request count, memory, age); it serves on until told to drain."""

    reason: str


# ---- supervisor -> worker


@dataclass(frozen=True, slots=True)
class Drain:
    """Take no new work, finish what is open within `grace` seconds (0: leave at once), then exit."""

    grace: float

    def __post_init__(self) -> None:
        if self.grace != self.grace:  # so is a NaN; isnan() does not take integers of 400 digits
            raise ValueError("grace is not a number: no time would ever be past it")


@dataclass(frozen=True, slots=True)
class Reopen:
    """Open the log files anew (they were rotated)."""


Message = Fork | Loaded | LoadFailed | Forked | ForkFailed | Ready | BootFailed | Retire | Drain | Reopen

_TYPES: dict[str, type[Message]] = {
    cls.__name__: cls
    for cls in (Fork, Loaded, LoadFailed, Forked, ForkFailed, Ready, BootFailed, Retire, Drain, Reopen)
}


# What JSON makes of a field; compared exactly, because for isinstance() a bool is an int.
_JSON_TYPES = {"int": (int,), "str": (str,), "bool": (bool,), "float": (float, int)}


def pair() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a new line, blocking and close-on-exec."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def encode(message: Message) -> bytes:
    values = asdict(message)
    while len(data := json.dumps([type(message).__name__, values]).encode()) > MAX_MESSAGE:
        # Cut by halves, because JSON may write one character as up to twelve bytes. The end of a traceback
        # names the error; of other texts the beginning says most.
        longest = max(
            (key for key in values if isinstance(values[key], str)), key=lambda key: len(values[key])
        )
        text = values[longest]
        half = len(text) // 2
        values[longest] = text[-half:] if longest == "traceback" else text[:half]
    return data


def decode(data: bytes) -> Message:
    """Return the message in `data`; ValueError for anything that is not one, wrong types included."""
    try:
        name, values = json.loads(data)
        message = _TYPES[name](**values)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"not a lifeline message: {data[:80]!r}") from error
    for field in fields(message):
        if type(values.get(field.name)) not in _JSON_TYPES[str(field.type)]:
            raise ValueError(f"not a lifeline message, {field.name} is wrong: {data[:80]!r}")
    return message


def send(line: socket.socket, message: Message, fds: tuple[int, ...] = ()) -> None:
    """Send one message, with descriptors (unix(7), SCM_RIGHTS) if any are given."""
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    line.sendmsg([encode(message)], ancillary)


def receive(line: socket.socket) -> tuple[Message, tuple[int, ...]] | None:
    """Return the next message and the descriptors that came with it, or None at end-of-file.

    The descriptors are close-on-exec. Raises BlockingIOError on a non-blocking line with nothing to read, and
    ValueError, with the descriptors closed again, for what is no message.
    """
    try:
        data, ancillary, _flags, _address = line.recvmsg(MAX_MESSAGE, _ROOM_FOR_FDS, _CLOEXEC)
    except ConnectionResetError:
        # Linux says this once when the other side left with messages unread; its last words come after it.
        data, ancillary, _flags, _address = line.recvmsg(MAX_MESSAGE, _ROOM_FOR_FDS, _CLOEXEC)
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload[: len(payload) - len(payload) % _FD_SIZE])
    try:
        return (decode(data), tuple(fds)) if data else None
    except ValueError:
        for fd in fds:
            os.close(fd)
        raise


def is_cut(line: socket.socket) -> bool:
    """Whether the other side is gone; reads nothing, and does not wait."""
    try:
        return not line.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
