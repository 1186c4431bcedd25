# Publisher: keeps what everybody is to know, and publishes what changed.
#
# Rules: event loop only. What did not change is not published again. If the line is full, it is tried again
# when there is room, with what is true then.

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence

from bigtop.ipc.keyring import TicketSecret
from bigtop.keeper.acme import challenges
from bigtop.keeper.acme.challenges import Challenge
from bigtop.keeper.certificates import Pair, names
from bigtop.keeper.publishing import page, publication
from bigtop.keeper.publishing.publication import Published, Standing


class Publisher:
    """Without a line, nothing is sent; without the descriptor of a page, challenges are shown to nobody."""

    def __init__(self, line: socket.socket | None, page_fd: int | None = None) -> None:
        self._line = line
        self._page = page_fd
        self._published: dict[str, Published] = {}
        self._standings: dict[str, Standing] = {}
        self._challenges: list[Challenge] = []
        self._pairs: dict[Challenge, str] = {}
        self._sent: dict[str, bytes] = {}
        self._waiting: dict[str, bytes] = {}
        self._generation = int(time.time())  # so that a successor's are later

    def certificate(self, title: str, pair: Pair) -> None:
        """Have a certificate served, instead of the one that had this title."""
        self._published[title] = Published(title, names(pair.leaf), pair.pem.decode())
        found = [self._published[each] for each in sorted(self._published)]
        self._publish(publication.CERTIFICATES, publication.certificates_text(found))

    def standing(self, standing: Standing) -> None:
        self._standings[standing.title] = standing
        found = [self._standings[each] for each in sorted(self._standings)]
        self._publish(publication.STATUS, publication.status_text(found))

    def tickets(self, secrets: Sequence[TicketSecret]) -> None:
        """Have session tickets made of these."""
        self._publish(publication.TICKETS, publication.tickets_text(secrets))

    def challenges(self, found: Sequence[Challenge], now: float) -> None:
        """Have exactly these challenges met."""
        self._challenges = list(found)
        self._pairs = {one: pem for one, pem in self._pairs.items() if one in self._challenges}
        answers = {one.token: one.answer for one in found if one.kind == challenges.HTTP}
        pairs = {
            challenges.server_name(one): self.alpn(one, now) for one in found if one.kind == challenges.ALPN
        }
        if self._page is not None:
            page.write(self._page, publication.challenges_text(answers, pairs))

    def alpn(self, challenge: Challenge, now: float) -> str:
        """Return the pair for a challenge, which is made once."""
        if challenge not in self._pairs:
            self._pairs[challenge] = challenges.alpn_pair(challenge, now).pem.decode()
        return self._pairs[challenge]

    def _publish(self, topic: str, text: bytes) -> None:
        if self._line is None or self._sent.get(topic) == text:
            return
        self._sent[topic] = self._waiting[topic] = text
        self._write()

    def _write(self) -> None:
        assert self._line is not None
        loop = asyncio.get_running_loop()
        try:
            for topic, text in list(self._waiting.items()):
                self._generation += 1
                publication.send(self._line, topic, self._generation, text)
                del self._waiting[topic]
        except BlockingIOError:
            loop.add_writer(self._line, self._write)
            return
        except OSError:  # nobody is there any more, which ends the keeper elsewhere
            self._waiting.clear()
        loop.remove_writer(self._line)
