# Answers of a worker to a CA that wants to see a challenge met.
#
# What this machine's keeper has to say stands on the page (page.py). What another machine's keeper ordered,
# with the same storage, is asked for.
#
# Rules: workers import this file, so it needs no cryptography. Strangers ask what they like: they cost a
# question now and then, and a keeper that hangs costs a tenth of a second, once in a while. What gevent puts
# in the place of sockets is not used: who waits here is the loop itself.

from __future__ import annotations

import os
import socket
import struct
import time
from typing import Final

from bigtop.keeper.publishing import page, questions
from bigtop.keeper.publishing.publication import Challenges
from bigtop.keeper.publishing.questions import Pace
from bigtop.log import logger as get_logger

log = get_logger("bigtop.worker")
_PATIENCE: Final = 0.1  # seconds for an answer
_REMEMBERED: Final = 60.0  # seconds for an answer that was one
_PAUSE: Final = 60.0  # seconds for which a keeper is not asked that gave none
_LARGEST: Final = 65536
_TIMEVAL: Final = struct.Struct("ll")


class Answers:
    """By descriptors of the page, and of the line for questions, which stay their owner's. `patience` is
    seconds that are waited for an answer."""

    def __init__(self, page_fd: int, questions_fd: int, patience: float = _PATIENCE) -> None:
        self._patience = _TIMEVAL.pack(int(patience), int(patience % 1 * 1e6))
        self._page = page_fd
        self._questions = questions_fd
        self._pace = Pace()
        self._asks_again = 0.0
        self._remembered: dict[tuple[str, str], tuple[str, float]] = {}

    def answer(self, token: str) -> str | None:
        """Return the body for a token of HTTP-01."""
        found = self._known().answer(token)
        return self._asked(questions.HTTP, token) if found is None else found

    def pair(self, server_name: str) -> str | None:
        """Return key and chain as PEM for who offers acme-tls/1 and asks for this name."""
        found = self._known().pair(server_name)
        return self._asked(questions.ALPN, server_name) if found is None else found

    def _known(self) -> Challenges:
        data = page.read(self._page)
        return Challenges(data) if data else Challenges()

    def _asked(self, kind: str, word: str) -> str | None:
        now = time.monotonic()
        text, until = self._remembered.get((kind, word), ("", 0.0))
        if now < until:
            return text
        if now < self._asks_again or not self._pace.may_ask(word, now):
            return None
        found = self._answer(kind, word, now)
        if found is not None:  # a CA comes from several places at once
            self._remembered = {key: one for key, one in self._remembered.items() if now < one[1]}
            self._remembered[kind, word] = found, now + _REMEMBERED
        return found

    def _answer(self, kind: str, word: str, now: float) -> str | None:
        reply = questions.ask(self._questions, kind, word)
        if reply is None:
            return None
        try:
            os.set_blocking(reply.fileno(), True)
            reply.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, self._patience)
            found = os.read(reply.fileno(), _LARGEST)
        except BlockingIOError:
            log.warning("the keeper of certificates does not answer: it is not asked for %.0f s", _PAUSE)
            self._asks_again = now + _PAUSE
            return None
        except OSError:  # it died over it
            return None
        finally:
            reply.close()
        return found.decode("ascii", "replace") or None
