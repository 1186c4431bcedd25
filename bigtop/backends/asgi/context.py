# Worker context: what all connections of a worker share.

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from bigtop.backends.asgi.connections.clients import Client, Clients
from bigtop.backends.asgi.loop.eager_tasks import Tasks
from bigtop.backends.asgi.loop.overdue import OverdueCalls
from bigtop.backends.asgi.loop.timers import Timers
from bigtop.backends.asgi.metrics import AsgiMetrics
from bigtop.backends.base import App
from bigtop.backends.native.farewells import Asks, farewells
from bigtop.backends.native.handlers.handler_chain import Chain, own_pages
from bigtop.backends.native.timeouts import Wait
from bigtop.backends.serve_options import ServeOptions
from bigtop.errors import ProtocolError
from bigtop.http.clients.forwarded import Forwarding
from bigtop.http.declarations import ProxyRoute
from bigtop.http.interfaces.scope import Peer
from bigtop.http.messages import Request
from bigtop.http.response import Stamps, refusal


class PassingOn(Protocol):
    """Requests that other servers answer."""

    def begin(self, call: Any, route: ProxyRoute) -> None:
        """Let the server of `route` answer a call, an asgi.call.Call, where no task runs."""

    def answer(self, call: Any, route: ProxyRoute) -> Coroutine[Any, Any, None]:
        """Return what does that in a task."""


class WorkerContext:
    """One worker's application, what stands in front of it, loop and metrics."""

    __slots__ = (
        "_moved",
        "app",
        "chain",
        "clients",
        "draining",
        "forwarding",
        "loop",
        "metrics",
        "options",
        "overdue",
        "passing_on",
        "stamps",
        "state",
        "tasks",
        "timers",
    )  # fmt: skip

    def __init__(
        self,
        app: App,
        chain: Chain,
        options: ServeOptions,
        loop: asyncio.AbstractEventLoop,
        metrics: AsgiMetrics,
        forwarding: Forwarding,
    ) -> None:
        self.app = app
        self.chain = chain
        self.options = options
        self.loop = loop
        self.metrics = metrics
        self.forwarding = forwarding
        self.draining = False
        self.state: dict[str, Any] = {}  # what the application left at its start, for all requests
        self._moved = asyncio.Event()  # while draining: something ended
        self.clients = Clients(metrics, chain.connections, self._moved.set)
        self.tasks = Tasks(loop, options.slow_callback, self._moved.set)  # application calls
        self.overdue: OverdueCalls | None = None  # None: no request has a time limit of its own
        self.passing_on: PassingOn | None = None  # None: the application answers all requests
        self.timers: Timers[Client] = Timers(options.limits, loop, _late)
        self.stamps = Stamps(options.server_header, time.time, own_pages(options))

    def replace(self, old: Client, new: Client) -> None:
        """Let `new` speak for a connection on which the protocol was switched."""
        self.timers.stop(old)
        self.clients.replace(old, new)

    def remove(self, client: Client) -> None:
        self.timers.stop(client)
        self.clients.remove(client)

    def arrives(self, client: Client, peer: Peer, now: int) -> None:
        """The head of a request comes in pieces."""
        self.timers.start(client, self.timers.head, now)
        self.metrics.arrives(client, now, peer.label)

    def refusal(
        self, client: Client, request: Request, error: ProtocolError, peer: Peer, began: int
    ) -> bytes:
        """Return the answer to a request that is refused, and log it; it `began` to come then, 0 if that is
        not known."""
        answer = refusal(error, self.stamps.now())
        began = began or self.timers.head.began(client)
        self.metrics.refused(request, error.status, answer, peer, began)
        return answer

    def drain(self, grace: float) -> None:
        """Take no further work; see emptied(). May be repeated when the time for it changed, of which there
        are `grace` seconds."""
        self._moved.set()
        self.draining = True
        asks: Asks = []
        for client in self.clients:
            client.drain(asks)
        for wait, ask in zip(farewells(len(asks), grace), asks, strict=False):
            if wait:
                self.loop.call_later(wait, ask)
            else:
                ask()

    async def emptied(self, seconds_left: Callable[[], float]) -> None:
        """Wait until the site is drained and nothing is open, or no time is left."""
        while not self.draining or self.clients or self.tasks.open:
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
