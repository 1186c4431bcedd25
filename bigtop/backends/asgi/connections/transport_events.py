# Events of a transport that an event loop reports: reading can go on, or writing.
#
# For a plain socket these are a reader and a writer of the loop. Other transports may have to write in order
# to read, and the other way round: then both wait for the same event, or each for the other one's.

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Protocol

from bigtop.backends.native.transport.transport import READABLE, WRITABLE, Transport


class EventsOwner(Protocol):
    """Who can go on."""

    def on_readable(self) -> None:
        """Go on reading."""

    def on_writable(self) -> None:
        """Go on writing."""


class TransportEvents:
    """Tells the owner of one transport when what it waits for has come."""

    __slots__ = ("_loop", "_owner", "_transport", "_watched", "is_held", "reads", "writes")

    def __init__(self, transport: Transport, loop: asyncio.AbstractEventLoop, owner: EventsOwner) -> None:
        self._transport = transport
        self._loop = loop
        self._owner = owner
        self._watched = (0, 0)  # what reading and what writing waits for; 0: for nothing
        self.reads = False
        self.writes = False
        self.is_held = False  # the loop is told later, by update(), if there is anything to tell then

    def watch(self, reads: bool, writes: bool) -> None:
        """Report whether reading can go on, or not; and writing."""
        self.reads, self.writes = reads, writes
        self.update()

    def update(self) -> None:
        """Look again what the transport waits for."""
        if self.is_held:
            return
        reads = self._transport.read_event if self.reads else 0
        writes = self._transport.write_event if self.writes else 0
        before, self._watched = self._watched, (reads, writes)
        if before == self._watched:
            return
        loop, fd = self._loop, self._transport.fileno()
        for event, add, remove in (
            (READABLE, loop.add_reader, loop.remove_reader),
            (WRITABLE, loop.add_writer, loop.remove_writer),
        ):
            if event in self._watched:
                # In no context: that of the call which takes a body would last as long as the connection.
                Context().run(add, fd, self._callback(event, reads, writes))
            elif event in before:
                remove(fd)

    def _callback(self, event: int, reads: int, writes: int) -> Callable[[], None]:
        if event == READABLE == reads != writes:
            return self._owner.on_readable
        return self._owner.on_writable if event == WRITABLE == writes != reads else self._try

    def _try(self) -> None:
        """Try whatever waits, and look what it waits for now."""
        if self.reads:
            self._owner.on_readable()
        if self.writes:
            self._owner.on_writable()
        if self.reads or self.writes:
            self.update()
