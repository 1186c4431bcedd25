# uvicorn: asyncio (uvloop where that is installed), h11 or httptools.

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections.abc import Iterator, Sequence
from typing import ClassVar

from uvicorn import Config, Server

from bigtop.backends.asgimeter import AsgiMeter
from bigtop.backends.base import App, Features, Life, ServeOptions
from bigtop.backends.books import Books
from bigtop.backends.evented import drained, draining
from bigtop.backends.listeners import share


class UvicornBackend:
    """Serves an ASGI application with uvicorn."""

    name: ClassVar[str] = "uvicorn"
    features: ClassVar[Features] = Features(
        interface="asgi",
        heeds=frozenset(
            {
                "server_header",
                "forwarded_allow_ips",
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
        books = Books(life, self._options)
        config = self._config(AsgiMeter(app, books, life))
        _Server(config, life, books).run([share(listener) for listener in listeners])

    def _config(self, app: AsgiMeter) -> Config:
        options = self._options
        return Config(
            app,
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            headers=[("Server", options.server_header)] if options.server_header else None,
            forwarded_allow_ips=list(options.forwarded_allow_ips),
            timeout_keep_alive=math.ceil(options.limits.keep_alive),
            h11_max_incomplete_event_size=options.limits.head,
        )


class _Server(Server):
    """uvicorn's server, led by a life instead of by signals."""

    def __init__(self, config: Config, life: Life, books: Books) -> None:
        super().__init__(config)
        self._life = life
        self._books = books
        self._steward: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: the worker has handlers for them."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asked = draining(self._life)
        await super().startup(sockets)
        self._life.ready()
        self._steward = asyncio.create_task(self._lead(asked))

    async def _lead(self, asked: asyncio.Event) -> None:
        await asked.wait()
        for server in self.servers:
            server.close()
        clock = await drained(
            self._life, lambda: self._books.open > 0, lambda: len(self.server_state.connections)
        )
        self.config.timeout_graceful_shutdown = math.ceil(clock.left)
        self.should_exit = True
