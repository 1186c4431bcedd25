# hypercorn: asyncio, HTTP/1.1 and HTTP/2 (with prior knowledge, since Bigtop's listeners are plain).

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Sequence
from typing import ClassVar

from hypercorn.asyncio.run import worker_serve
from hypercorn.config import Config, Sockets
from hypercorn.utils import wrap_app

from bigtop.backends.asgimeter import AsgiMeter
from bigtop.backends.base import App, Features, Life, ServeOptions
from bigtop.backends.books import Books
from bigtop.backends.evented import drained, draining
from bigtop.backends.listeners import share

_LEAVE = 1.0  # seconds for its own way out


class HypercornBackend:
    """Serves an ASGI application with hypercorn."""

    name: ClassVar[str] = "hypercorn"
    features: ClassVar[Features] = Features(
        interface="asgi",
        heeds=frozenset(
            {
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
        asyncio.run(self._serve([share(listener) for listener in listeners], app, life))

    async def _serve(self, listeners: list[socket.socket], app: App, life: Life) -> None:
        books = Books(life, self._options)
        config = self._config()
        loop = asyncio.get_running_loop()
        asked = draining(life)

        async def lead() -> None:
            """Called by hypercorn once it accepts; its return makes it stop."""
            life.ready()
            await asked.wait()
            for listener in listeners:
                loop.remove_reader(listener)
            clock = await drained(life, lambda: books.open > 0)
            config.graceful_timeout = clock.left
            # Since Python 3.12 its way out waits for connections without a limit.
            loop.call_later(clock.left + _LEAVE, serving.cancel)

        wrapped = wrap_app(AsgiMeter(app, books, life), config.wsgi_max_body_size, "asgi")
        sockets = Sockets([], listeners, [])
        serving = asyncio.create_task(worker_serve(wrapped, config, sockets=sockets, shutdown_trigger=lead))
        with contextlib.suppress(asyncio.CancelledError):
            await serving

    def _config(self) -> Config:
        options = self._options
        config = Config()
        config.errorlog = logging.getLogger("bigtop.hypercorn")
        config.errorlog.setLevel(logging.WARNING)
        config.include_server_header = False
        config.keep_alive_timeout = options.limits.keep_alive
        config.h11_max_incomplete_size = options.limits.head
        return config
