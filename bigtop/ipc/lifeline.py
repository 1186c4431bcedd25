# Lifeline: what a supervisor, its fork servers and its workers say to each other.
#
# Rules: one message is one datagram on a SOCK_SEQPACKET pair, written as JSON, so nobody ever holds half a
# message. Decoding never runs code: an application that took over its worker must not gain the supervisor
# (hence no pickle). Whoever reads end-of-file knows that the other side is gone, however it went.
# Descriptors travel down only. Who reads on the supervisor's side leaves the kernel no room for any, so that
# it closes what a child attaches (unix(7), SCM_RIGHTS).
#
# Nothing here knows who sends what when: see supervisor/processes/workers/forkservers.py (the parent's side),
# workers/forkserver.py and workers/life.py (the children's sides).

from __future__ import annotations

import array
import json
import os
import socket
import struct
import sys
from typing import get_args

from bigtop.record import Record, as_dict, fields

MAX_MESSAGE = 65536  # a traceback is cut to fit; far below the default socket buffer (212,992 on Linux)
MOST_FDS = 200  # with one message; Linux takes 253 (unix(7), SCM_RIGHTS)
_FD_SIZE = array.array("i").itemsize
_CLOEXEC = socket.MSG_CMSG_CLOEXEC if sys.platform == "linux" else 0  # received ones are not, by PEP 446
_CREDENTIALS = struct.Struct("@iII")  # struct ucred: pid, uid, gid
_INTERFACES = ("", "wsgi", "asgi")


# ---- supervisor -> fork server


class Expect(Record):
    """Begin will come: import what serving with `backend` takes, "" if that will be one of our own. For one
    that had a head start, and only a hint."""

    backend: str


class Begin(Record):
    """Be the fork server of `generation`; for one that had a head start (workers/head_start.py): with it
    travel its orders, its environment and the folder that it works in. And for one that was a worker."""

    generation: int


class Inherit(Record):
    """With it travel descriptors that orders speak of, in the order in which they do."""


class Fork(Record):
    """Fork the worker `key` as number `wid`. With it travel its lifeline end, its stderr, its slot and the
    pipe for its reports. One that is `held` takes no clients until it hears Admit."""

    key: int
    wid: int
    held: bool = False


class Certificates(Record):
    """Serve with the certificates in the sealed file that travels with it, from now on: to fork servers, for
    workers to come, and to workers. `digest` names them."""

    digest: str


# ---- fork server -> supervisor


class Loaded(Record):
    """The fork server is open for business. `preloaded` is false when each worker imports for itself.

    `reason` says why not ("off", or what the import left behind: threads, sockets).
    """

    preloaded: bool
    interface: str
    reason: str

    def __post_init__(self) -> None:
        _check_interface(self.interface)


class LoadFailed(Record):
    """The application cannot be imported; the fork server ends after this message."""

    message: str
    traceback: str


class ForkFailed(Record):
    """There is no worker `key` (fork(2): out of processes or memory)."""

    key: int
    reason: str


# ---- worker -> supervisor


class Born(Record):
    """The first word of a worker, which is the supervisor's own child by then. Its pid is who sent this."""


class Ready(Record):
    """The application is loaded, the backend accepts. `interface` is "wsgi" or "asgi"."""

    interface: str

    def __post_init__(self) -> None:
        _check_interface(self.interface)


class BootFailed(Record):
    """The worker could not load its application; it exits after this message."""

    message: str
    traceback: str


class Retire(Record):
    """The worker asks for a successor (request count, memory, age); it serves on until told to drain."""

    reason: str


class Warm(Record):
    """The worker has answered as many requests as one that becomes a fork server is to have answered."""


class Serves(Record):
    """The worker serves with the certificates of `digest`; or not, and `problem` says why."""

    digest: str
    problem: str


# ---- supervisor -> worker


class Drain(Record):
    """Take no new work, finish what is open within `grace` seconds (0: leave at once), then exit."""

    grace: float

    def __post_init__(self) -> None:
        if self.grace != self.grace:  # so is a NaN; isnan() does not take integers of 400 digits
            raise ValueError("grace is not a number: no time would ever be past it")


class Promote(Record):
    """Do as for Drain, and in place of the exit become a fork server on the line that travels with it. There
    the worker says Loaded, or LoadFailed if it cannot be one; then comes Inherit."""

    grace: float

    def __post_init__(self) -> None:
        if self.grace != self.grace:
            raise ValueError("grace is not a number: no time would ever be past it")


class Probe(Record):
    """Serve the connection that travels with it: it is the supervisor's, and is not encrypted. `scheme` is
    what it stands for, "http" or "https"."""

    scheme: str

    def __post_init__(self) -> None:
        if self.scheme not in ("http", "https"):
            raise ValueError("there is no such scheme")


class Admit(Record):
    """Take clients, as others do, from now on."""


class Share(Record):
    """Let idle connections go on with workers that have fewer: one of them is new."""


class Reopen(Record):
    """Open the log files anew (they were rotated)."""


_ToForkServer = Expect | Begin | Inherit | Fork | Certificates
_ToSupervisor = Loaded | LoadFailed | ForkFailed | Born | Ready | BootFailed | Retire | Warm | Serves
Message = _ToForkServer | _ToSupervisor | Drain | Promote | Probe | Admit | Share | Reopen

_TYPES: dict[str, type[Message]] = {cls.__name__: cls for cls in get_args(Message)}


# What JSON makes of a field; compared exactly, because for isinstance() a bool is an int.
_JSON_TYPES = {"int": (int,), "str": (str,), "bool": (bool,), "float": (float, int)}


def _check_interface(name: str) -> None:
    if name not in _INTERFACES:
        raise ValueError("there is no such interface")


def pair() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a new line, blocking and close-on-exec."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def encode(message: Message) -> bytes:
    values = as_dict(message)
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


def receive(line: socket.socket, most_fds: int = 0) -> tuple[Message, tuple[int, ...]] | None:
    """Return the next message and the descriptors that came with it, or None at end-of-file.

    The descriptors are close-on-exec; the kernel closes those beyond `most_fds`. Raises BlockingIOError on a
    non-blocking line with nothing to read, and ValueError, with the descriptors closed again, for what is no
    message.
    """
    data, ancillary = _read(line, socket.CMSG_LEN(most_fds * _FD_SIZE) if most_fds else 0)
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


def demand_signatures(line: socket.socket) -> None:
    """Have the kernel add to every message that is sent to `line` from now on who sent it."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)


def receive_signed(line: socket.socket) -> tuple[Message, int] | None:
    """Return the next message and the pid of its sender; None at end-of-file. Raises as receive() does.

    The pid is the kernel's word (unix(7), SCM_CREDENTIALS): only root can sign for somebody else.
    """
    data, ancillary = _read(line, socket.CMSG_LEN(_CREDENTIALS.size))
    if not data:
        return None
    for level, kind, payload in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            return decode(data), _CREDENTIALS.unpack(payload)[0]
    raise ValueError("a lifeline message that nobody signed")


def _read(line: socket.socket, room: int) -> tuple[bytes, list[tuple[int, int, bytes]]]:
    try:
        data, ancillary, _flags, _address = line.recvmsg(MAX_MESSAGE, room, _CLOEXEC)
    except ConnectionResetError:
        # Linux says this once when the other side left with messages unread; its last words come after it.
        data, ancillary, _flags, _address = line.recvmsg(MAX_MESSAGE, room, _CLOEXEC)
    return data, ancillary


def is_cut(line: socket.socket) -> bool:
    """Whether the other side is gone; reads nothing, and does not wait."""
    try:
        return not line.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
