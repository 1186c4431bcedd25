# The ASGI backend: puts its parts together.
#
# A request: wire (bytes in) -> connection (which request) -> call (application) -> wire (bytes out). A
# WebSocket: connection -> websocket (frames) <-> conversation (application). Beside them: worker (accepting,
# start, end), lifespan, site (what all share), clocks, ledger (scoreboard, access log), eager (tasks).

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import ClassVar

from bigtop.backends.asgi.ledger import Exchange, Ledger
from bigtop.backends.asgi.loops import close_loop, new_loop
from bigtop.backends.asgi.site import Site
from bigtop.backends.asgi.static import Static
from bigtop.backends.asgi.worker import Worker
from bigtop.backends.base import OURS, App, Features, Life, ServeOptions
from bigtop.http.accesslog import Access, compile_format, compile_json


class AsgiBackend:
    """Serves an ASGI application in one event loop."""

    name: ClassVar[str] = "asgi"
    features: ClassVar[Features] = Features(
        interface="asgi",
        routes=True,
        static=True,
        heeds=OURS
        | frozenset(
            {
                "loop",
                "lifespan",
                "root_path",
                "limit_concurrency",
                "slow_callback",
                "websocket.message",
                "websocket.queue",
                "websocket.ping_interval",
                "websocket.ping_timeout",
                "websocket.deflate",
                "websocket.origins",
            }
        ),
    )

    def __init__(self, options: ServeOptions) -> None:
        self._options = options
        self._describe = _describer(options)

    def prepare(self) -> None:
        """Nothing has to be done before the application is imported."""

    def serve(self, listeners: Sequence[socket.socket], app: App, life: Life) -> None:
        """Answer requests until the drain is over; main thread only. AppError: it failed to start."""
        if self._options.static:
            app = Static(app, self._options.static)
        loop = new_loop(self._options.loop, self._options.slow_callback)
        worker = Worker(Site(app, self._options, loop, Ledger(life, loop, self._describe)), life, listeners)
        try:
            with suppress(asyncio.CancelledError):  # told to leave before the application was ready
                loop.run_until_complete(worker.run())
        finally:
            close_loop(loop, join_threads=not worker.is_forced)


def _describer(options: ServeOptions) -> Callable[[Exchange, int], str] | None:
    """Return what writes the access line of a request that ended at a monotonic time; None: no access log."""
    if options.access_json:
        line = compile_json()
    elif options.access_format:
        line = compile_format(options.access_format)
    else:
        return None

    def describe(exchange: Exchange, ended: int) -> str:
        answer = exchange.answer
        return line(
            Access(
                request=exchange.request,
                status=answer.status,
                headers=answer.headers,
                sent=answer.framing.sent if answer.framing is not None else 0,
                address=exchange.peer.origin(exchange.request.headers).address,
                received=exchange.called,
                called=exchange.called,
                ended=ended,
                when=time.time(),
                pid=os.getpid(),
            )
        )

    return describe
