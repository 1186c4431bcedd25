# uvicorn: asyncio (uvloop where that is installed), h11 or httptools.

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections.abc import Iterator, Sequence
from typing import ClassVar

from uvicorn import Config, Server

from bigtop import log
from bigtop.backends.adapters.asgi_meter import AsgiMeter
from bigtop.backends.adapters.asyncio_server import accept_waiting, drain_event, wait_until_drained
from bigtop.backends.adapters.listeners import share, withdraw
from bigtop.backends.base import App, BackendDefaults, Features, Life


class UvicornBackend(BackendDefaults):
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

    def serve(self, listeners: Sequence[socket.socket], app: App, life: Life) -> None:
        log.keep("uvicorn.error", "uvicorn.asgi")
        meter = AsgiMeter(app, life, self._options)
        server = _Server(self._config(meter), life, meter, listeners)
        try:
            server.run([share(listener) for listener in listeners])
        finally:
            meter.check_start()  # instead of the SystemExit that uvicorn makes of it

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

    def __init__(
        self, config: Config, life: Life, meter: AsgiMeter, listeners: Sequence[socket.socket]
    ) -> None:
        super().__init__(config)
        self._life = life
        self._listeners = listeners
        self._meter = meter
        self._draining: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: the worker has handlers for them."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asked = drain_event(self._life)
        await super().startup(sockets)
        if self.should_exit:  # the application failed to start, and uvicorn is one that does not exit then
            return
        self._life.ready()
        self._draining = asyncio.create_task(self._drain(asked))

    async def _drain(self, asked: asyncio.Event) -> None:
        await asked.wait()
        await accept_waiting(self._listeners, self._life)
        for server in self.servers:
            server.close()
        withdraw(self._listeners)
        clock = await wait_until_drained(
            self._life, lambda: self._meter.is_busy, lambda: len(self.server_state.connections)
        )
        self.config.timeout_graceful_shutdown = math.ceil(clock.left)
        self.should_exit = True
