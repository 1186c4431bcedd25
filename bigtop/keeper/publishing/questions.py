# Questions of workers about challenges that they do not know: the CA may come to a machine whose keeper did
# not order, or sooner than a snapshot.
#
# All workers share one end of a socket pair. A question is one message with the end of another pair, over
# which the answer comes, whole, and nothing if there is none.
#
# Rules: workers import this file, so it needs no cryptography. Nobody waits here.
# Strangers ask what they like, so what cannot be a token is not asked, and a worker asks for a few tokens a
# second at most.

from __future__ import annotations

import os
import re
import socket
import sys
from _socket import socket as BareSocket  # noqa: N812 - gevent puts its own in the place of Python's
from _socket import socketpair
from typing import Final

from bigtop.record import Record

HTTP: Final = "http"
ALPN: Final = "alpn"
_WORD: Final = re.compile(r"[A-Za-z0-9._-]{1,253}")
_LONGEST: Final = 300
_MOST: Final = 10  # questions in a row, and per second
_REMEMBERED: Final = 1.0  # seconds that an answer is remembered that was none


class Question(Record):
    """What a worker asks: the answer for a token (HTTP), or the pair for a name (ALPN)."""

    kind: str
    word: str
    reply: socket.socket


def ask(line: int, kind: str, word: str) -> BareSocket | None:
    """Ask over the line with this descriptor, and return where the answer comes, b"" if there is none; None:
    it cannot be asked now."""
    try:
        ours, theirs = socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError:  # out of descriptors
        return None
    far = BareSocket(fileno=line)
    try:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, theirs.fileno().to_bytes(4, sys.byteorder))
        far.sendmsg([f"{kind} {word}".encode()], [rights], socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
    except OSError:  # too many ask, or the keeper is gone
        ours.close()
        return None
    finally:
        far.detach()
        theirs.close()
    return ours


def receive(line: socket.socket) -> Question | None:
    """Return the next question, in the keeper; None for what is none. Raises BlockingIOError."""
    text, fds, _flags, _ = socket.recv_fds(line, _LONGEST, 4, socket.MSG_DONTWAIT)
    kind, _, word = text.decode("ascii", "replace").partition(" ")
    if len(fds) != 1 or kind not in (HTTP, ALPN) or _WORD.fullmatch(word) is None:
        for fd in fds:
            os.close(fd)
        return None
    reply = socket.socket(fileno=fds[0])
    reply.setblocking(False)
    return Question(kind, word, reply)


def answer(question: Question, text: bytes) -> None:
    """Answer, with nothing where there is nothing, and be done with it."""
    with question.reply:
        try:
            question.reply.send(text, socket.MSG_NOSIGNAL)
        except OSError:  # who asked is gone
            return


class Pace:
    """What a worker may ask now, so that strangers cannot make it busy."""

    def __init__(self) -> None:
        self._unknown: dict[str, float] = {}  # word -> until when it need not be asked again
        self._left = float(_MOST)
        self._at = 0.0

    def may_ask(self, word: str, now: float) -> bool:
        """Say whether `word` is to be asked; `now` is of a clock that never goes back."""
        if _WORD.fullmatch(word) is None:
            return False
        self._left = min(_MOST, self._left + (now - self._at) * _MOST)
        self._at = now
        if self._unknown.get(word, 0.0) > now or self._left < 1:
            return False
        self._left -= 1
        self._unknown = {each: until for each, until in self._unknown.items() if until > now}
        self._unknown[word] = now + _REMEMBERED
        return True
