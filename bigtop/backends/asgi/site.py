# What all connections of a worker share.

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from bigtop.backends.asgi.clocks import Clocks
from bigtop.backends.asgi.eager import starter
from bigtop.backends.asgi.ledger import Ledger
from bigtop.backends.base import App, ServeOptions
from bigtop.backends.deadlines import Wait
from bigtop.http.response import Stamps


class Client(Protocol):
    """A connection, whatever is spoken on it."""

    wait: Wait | None

    def late(self, wait: Wait) -> None:
        """The clock of `wait` has run out."""

    def drain(self) -> None:
        """The worker wants to end."""

    def cut(self) -> None:
        """Close, whatever is open."""


class Site:
    """One worker's application, loop and books."""

    __slots__ = (
        "_moved", "_start",
        "app", "clients", "clocks", "draining", "ledger", "loop", "options", "stamps", "state", "tasks",
    )  # fmt: skip

    def __init__(
        self, app: App, options: ServeOptions, loop: asyncio.AbstractEventLoop, ledger: Ledger
    ) -> None:
        self.app = app
        self.options = options
        self.loop = loop
        self.ledger = ledger
        self.draining = False
        self.state: dict[str, Any] = {}  # what the application left at its start, for all requests
        self.clients: set[Client] = set()
        self.tasks: set[asyncio.Task[None]] = set()  # application calls that have not returned
        self.clocks: Clocks[Client] = Clocks(options.limits, loop, _late)
        self._start = starter(loop, options.slow_callback)
        self._moved = asyncio.Event()  # while draining: something ended
        self.stamps = Stamps(options.server_header, time.time)

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Begin with an application call, now; where no task runs."""
        task = self._start(coroutine)
        if not task.done():
            self.tasks.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        self._moved.set()

    def add(self, client: Client) -> None:
        self.clients.add(client)
        self.ledger.connected(len(self.clients))

    def replace(self, old: Client, new: Client) -> None:
        """Let `new` speak for a connection on which the protocol was switched."""
        self.clocks.stop(old)
        self.clients.discard(old)
        self.clients.add(new)

    def remove(self, client: Client) -> None:
        self.clocks.stop(client)
        self.clients.discard(client)
        self.ledger.disconnected(len(self.clients))
        self._moved.set()

    def drain(self) -> None:
        """Take no further work; see emptied(). May be repeated when the time for it changed."""
        self._moved.set()
        if not self.draining:
            self.draining = True
            for client in list(self.clients):
                client.drain()

    async def emptied(self, seconds_left: Callable[[], float]) -> None:
        """Wait until the site is drained and nothing is open, or no time is left."""
        while not self.draining or self.clients or self.tasks:
            self._moved.clear()
            left = seconds_left()
            if left <= 0:
                return
            try:
                async with asyncio.timeout(left if self.draining else None):
                    await self._moved.wait()
            except TimeoutError:
                return


def _late(client: Client, wait: Wait) -> None:
    client.late(wait)
