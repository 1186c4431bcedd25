# Worker context: what all connections of a worker share.

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from bigtop.backends.asgi.clients import Client, Clients
from bigtop.backends.asgi.eager_tasks import Tasks
from bigtop.backends.asgi.metrics import AsgiMetrics
from bigtop.backends.asgi.overdue import OverdueCalls
from bigtop.backends.asgi.timers import Timers
from bigtop.backends.base import App
from bigtop.backends.native.handler_chain import Chain
from bigtop.backends.native.timeouts import Wait
from bigtop.backends.serve_options import ServeOptions
from bigtop.errors import ProtocolError
from bigtop.http.forwarded import Forwarding
from bigtop.http.messages import Request
from bigtop.http.response import Stamps, refusal
from bigtop.http.scope import Peer

_PACE: Final = 200  # WebSockets per second that are asked to come again; slower would not help the others
_SHARE: Final = 0.5  # of the time that is left, in which the last one is asked at the latest


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
        self.timers: Timers[Client] = Timers(options.limits, loop, _late)
        self.stamps = Stamps(options.server_header, time.time)

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
        turns = farewells(len(self.clients), grace)
        for client in self.clients:
            client.drain(turns)

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


def farewells(count: int, grace: float) -> Iterator[float]:
    """Yield the seconds after which each of so many WebSockets is asked to come again, the first at once. All
    at the same moment, they would all come to another worker at the same moment."""
    return itertools.count(0.0, min(1 / _PACE, max(grace, 0.0) * _SHARE / max(count, 1)))


def _late(client: Client, wait: Wait) -> None:
    client.late(wait)
