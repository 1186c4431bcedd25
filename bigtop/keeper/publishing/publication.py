# Publication of a keeper: snapshots, each of all there is to know of one topic, in sealed memory.
#
# A snapshot is one message: a line of text, its topic and generation, and a descriptor. It replaces all
# earlier ones of its topic, so none that is missed is missed for long. Challenges are on a page (page.py).
#
# Rule: supervisors and workers import this file, so it needs no cryptography.

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Final

from bigtop.ipc.keyring import TicketSecret
from bigtop.record import Record, as_dict
from bigtop.system import kernel

CERTIFICATES: Final = "certificates"
STATUS: Final = "status"
TICKETS: Final = "tickets"
_LONGEST: Final = 64  # bytes of the text
_PATH: Final = "/.well-known/acme-challenge/"


class Published(Record):
    """A certificate as it is served: the names it is for, key and chain as PEM."""

    title: str
    names: tuple[str, ...]
    pem: str


class Standing(Record):
    """How a certificate stands, for people. Times are seconds since 1970, 0 where there is none."""

    title: str
    names: tuple[str, ...]
    line: str  # the certificate in one line, "" if there is none
    not_after: float
    next_try: float
    error: str  # of the last try that failed
    failures: int
    hints: tuple[str, ...] = ()  # what seems to keep a CA from it, seen from here


class Snapshot(Record):
    """One message, as it comes. Generations grow, from one keeper to its successor, too."""

    topic: str
    generation: int
    fd: int

    def content(self, most: int = 1 << 24) -> bytes:
        """Return all that it holds, any number of times. ValueError: that is more than `most` bytes."""
        size = os.fstat(self.fd).st_size
        if size > most:
            raise ValueError(f"{size} bytes")
        return os.pread(self.fd, size, 0)


def send(line: socket.socket, topic: str, generation: int, data: bytes) -> None:
    """Publish a snapshot. Raises BlockingIOError, and OSError when nobody is there any more."""
    fd = kernel.sealed_copy(f"bigtop-{topic}", data)
    try:
        socket.send_fds(line, [f"{topic} {generation}".encode()], [fd], socket.MSG_NOSIGNAL)
    finally:
        os.close(fd)


def receive(line: socket.socket) -> Snapshot | None:
    """Return what comes next, whose descriptor the caller closes; None: the keeper has ended. Raises
    BlockingIOError, and ValueError for what is no snapshot."""
    text, fds, _flags, _ = socket.recv_fds(line, _LONGEST, 4)
    if not text and not fds:
        return None
    for fd in fds:
        os.set_inheritable(fd, False)
    topic, _, generation = text.decode("ascii", "replace").partition(" ")
    if len(fds) != 1 or not generation.isdigit():
        for fd in fds:
            os.close(fd)
        raise ValueError("this is no snapshot")
    return Snapshot(topic, int(generation), fds[0])


# ---- what is in them


def certificates_text(published: Sequence[Published]) -> bytes:
    return _text([as_dict(one) for one in published])


def read_certificates(data: bytes) -> list[Published]:
    return [Published(one["title"], tuple(one["names"]), one["pem"]) for one in json.loads(data)]


def status_text(standings: Sequence[Standing]) -> bytes:
    return _text([as_dict(one) for one in standings])


def read_status(data: bytes) -> list[Standing]:
    return [
        Standing(**{**one, "names": tuple(one["names"]), "hints": tuple(one["hints"])})
        for one in json.loads(data)
    ]


def tickets_text(secrets: Sequence[TicketSecret]) -> bytes:
    return _text([as_dict(one) for one in secrets])


def read_tickets(data: bytes) -> tuple[TicketSecret, ...]:
    """Return what tickets_text() was given. ValueError: this makes no sense."""
    found = tuple(TicketSecret(int(one["since"]), str(one["secret"])) for one in json.loads(data))
    for one in found:
        bytes.fromhex(one.secret)
    return found


def challenges_text(answers: Mapping[str, str], pairs: Mapping[str, str]) -> bytes:
    """`answers` are those of HTTP-01 by token, `pairs` the PEM for TLS-ALPN-01 by what is asked for."""
    return _text({"http": dict(answers), "alpn": dict(pairs)})


class Challenges:
    """The challenges that a worker can meet."""

    def __init__(self, data: bytes = b'{"http": {}, "alpn": {}}') -> None:
        words = json.loads(data)
        self._answers: dict[str, str] = words["http"]
        self._pairs: dict[str, str] = words["alpn"]

    def answer(self, token: str) -> str | None:
        """Return the body for a token of HTTP-01."""
        return self._answers.get(token)

    def pair(self, server_name: str) -> str | None:
        """Return key and chain as PEM for who offers acme-tls/1 and asks for this name."""
        return self._pairs.get(server_name.lower())


def token(path: str) -> str | None:
    """Return the token that a path asks for; None: it is none of a challenge."""
    found = path.removeprefix(_PATH)
    return found if found != path and found and "/" not in found else None


def _text(words: object) -> bytes:
    return json.dumps(words, sort_keys=True).encode()
