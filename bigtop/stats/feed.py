# The stats process' end of its line to the supervisor: asks who runs.

from __future__ import annotations

import asyncio
import secrets
import socket
from itertools import count

from bigtop.stats import roster
from bigtop.stats.roster import Roster

_PATIENCE = 1.0  # seconds for an answer


class Feed(asyncio.Protocol):
    """Made by opened(). `gone` is done when there is no supervisor any more."""

    def __init__(self) -> None:
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._mine = secrets.token_hex(8)
        self._numbers = count(1)
        self._waits: tuple[str, asyncio.Future[Roster | str]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.gone.done():
            self.gone.set_result(None)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if self._waits is None:
                continue
            word, waiting = self._waits
            said = roster.read_answer(word, line)
            if said is not None and not waiting.done():
                waiting.set_result(said)

    async def ask(self, known: int) -> Roster | str | None:
        """Return who runs, or SAME; None if the supervisor is too busy to say so."""
        assert self._transport is not None
        word = f"{self._mine}-{next(self._numbers)}"
        self._waits = word, asyncio.get_running_loop().create_future()
        self._transport.write(roster.question(word, known))
        try:
            return await asyncio.wait_for(self._waits[1], _PATIENCE)
        except TimeoutError:
            return None


async def opened(line: socket.socket) -> Feed:
    line.setblocking(False)
    _transport, feed = await asyncio.get_running_loop().create_connection(Feed, sock=line)
    return feed
