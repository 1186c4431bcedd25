# Hand-off between the workers of one application, in the native ASGI server: which connections leave this one
# for another, and which come from there.
#
# A connection leaves between two requests, before anything of the next is read: a new one when there are more
# of them here than elsewhere, an idle one when this worker drains. Who gets it is whoever has the fewest. (An
# event loop is never full, so unlike in backends/wsgi/ nobody takes from the common queue, nor requests of
# others. Whoever sends one, a worker of before a reload, sees that it was dropped.)

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator

from bigtop.backends.asgi.connections.buffered_transport import Duplex
from bigtop.backends.native.timeouts import NEVER, SECOND
from bigtop.backends.native.transport.bare_socket import AnySocket
from bigtop.ipc.handoff import LOOK, MOST, Handoff, RequestPair


class WorkerHandoff:
    """The hand-off of one worker; where there is none, everything stays. `arrived` takes what comes."""

    def __init__(
        self,
        handoff: Handoff | None,
        loop: asyncio.AbstractEventLoop,
        arrived: Callable[[socket.socket], None],
    ) -> None:
        self._handoff = handoff
        self._loop = loop
        self._arrived = arrived

    def has_heir(self) -> bool:
        """Whether somebody else can take what this worker, when it drains, does not finish."""
        return self._handoff is not None and self._handoff.has_heir()

    def open(self) -> None:
        """Take what comes from now on."""
        handoff = self._handoff
        if handoff is None:
            return
        if handoff.inbox is not None:
            self._loop.add_reader(handoff.inbox, self._on_inbox)
        self._loop.call_later(LOOK / SECOND, self._look)

    def spread(self, newcomer: AnySocket, mine: int) -> bool:
        """Send a new client to a worker that has less than `mine`; True when it is gone."""
        return self._handoff is not None and self._handoff.spread(newcomer, mine)

    def leave(self, transport: Duplex, below: int = NEVER) -> bool:
        """Send a connection that is idle to another worker, with less than `below`; if True, close it
        here."""
        transport.flush()
        handoff, client = self._handoff, transport.raw
        if handoff is None or transport.gone or transport.waiting or not client.is_movable:
            return False
        seat = handoff.emptiest(below)
        return seat is not None and handoff.send(seat, client)

    def rest(self) -> bool:
        """Take, before leaving, what nobody else might; True if there was something."""
        found = False
        for client in self._left():
            found = True
            self._take(client)
        return found

    def _left(self) -> Iterator[socket.socket]:
        handoff = self._handoff
        if handoff is not None:
            for _ in range(MOST):
                if (client := handoff.take_own()) is None:
                    break
                yield client
            yield from handoff.stranded()

    def _take(self, client: socket.socket) -> None:
        if isinstance(client, RequestPair):
            client.close()
        else:
            self._arrived(client)

    def _on_inbox(self) -> None:
        assert self._handoff is not None
        client = self._handoff.take_own()
        if client is not None:
            self._take(client)
        elif (inbox := self._handoff.inbox) is not None and inbox in self._handoff.ended:
            self._loop.remove_reader(inbox)

    def _look(self) -> None:
        assert self._handoff is not None
        for client in self._handoff.stranded():
            self._take(client)
        self._loop.call_later(LOOK / SECOND, self._look)
