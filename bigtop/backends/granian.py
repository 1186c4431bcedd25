# granian: Rust (hyper on tokio) with the application on asyncio, through granian's embeddable server.
#
# granian binds by itself and forks by itself; only its embedded server (called experimental there) leaves
# both to others, and that one speaks ASGI. Bigtop hands its listener over where granian would bind, as a
# SocketHolder, which is what granian's own workers get. For WSGI, granian offers no such way.

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from typing import Any, ClassVar

from granian._granian import SocketHolder
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server

from bigtop.backends.asgimeter import AsgiMeter
from bigtop.backends.base import App, Features, Life, ServeOptions
from bigtop.backends.books import Books
from bigtop.backends.draining import TICK
from bigtop.backends.evented import drained, draining
from bigtop.backends.listeners import is_watched, the_only, withdraw


class GranianBackend:
    """Serves an ASGI application with granian."""

    name: ClassVar[str] = "granian"
    features: ClassVar[Features] = Features(
        interface="asgi",
        heeds=frozenset(
            {
                "worker_connections",
                "limits.header_timeout",
                "limits.keep_alive",
                "limits.head",
            }
        ),
    )

    def __init__(self, options: ServeOptions) -> None:
        self._options = options

    def prepare(self) -> None:
        """Nothing has to be done before the application is imported."""

    def serve(self, listeners: Sequence[socket.socket], app: App, life: Life) -> None:
        asyncio.run(self._serve(the_only(listeners, self.name), app, life))

    async def _serve(self, listener: socket.socket, app: App, life: Life) -> None:
        books = Books(life, self._options)
        limits = self._options.limits
        server = _Server(
            AsgiMeter(app, books, life),
            interface=Interfaces.ASGI,
            http1_settings=HTTP1Settings(
                header_read_timeout=round(limits.header_timeout * 1000) or 30_000,
                keep_alive=limits.keep_alive > 0,
                max_buffer_size=max(8192, limits.head),
            ),
            backpressure=self._options.worker_connections,
            log_level=LogLevels.error,
            log_dictconfig={"loggers": {"_granian": {"propagate": True}}},  # it would write to stdout
        )
        server.listener = listener
        asked = draining(life)
        serving = asyncio.create_task(server.serve())
        while not serving.done() and not is_watched(listener):
            await asyncio.sleep(TICK)
        if not serving.done():
            life.ready()
            await asyncio.wait(
                [serving, asyncio.create_task(asked.wait())], return_when=asyncio.FIRST_COMPLETED
            )
        if life.draining:
            withdraw([listener])
            clock = await drained(life, lambda: books.open > 0)
            server.stop()
            await asyncio.wait([serving], timeout=max(clock.left, 1))
        else:
            await serving


class _Server(Server):
    """granian on a socket that it did not bind."""

    listener: socket.socket

    def _init_shared_socket(self) -> None:
        is_unix = self.listener.family == socket.AF_UNIX
        self._ssp: Any = None
        self._shd = SocketHolder(os.dup(self.listener.fileno()), is_unix, self.backlog)
        self._sfd = self._shd.get_fd()
