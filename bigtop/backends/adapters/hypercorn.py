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

from bigtop.backends.adapters.asgi_meter import AsgiMeter
from bigtop.backends.adapters.asyncio_server import accept_waiting, drain_event, wait_until_drained
from bigtop.backends.adapters.listeners import share, withdraw
from bigtop.backends.base import App, BackendDefaults, Features, Life
from bigtop.log import logger as get_logger

_LEAVE = 1.0  # seconds for its own way out


class HypercornBackend(BackendDefaults):
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

    def serve(self, listeners: Sequence[socket.socket], app: App, life: Life) -> None:
        asyncio.run(self._serve(listeners, app, life))

    async def _serve(self, listeners: Sequence[socket.socket], app: App, life: Life) -> None:
        meter = AsgiMeter(app, life, self._options)
        config = self._config()
        loop = asyncio.get_running_loop()
        asked = drain_event(life)
        shared = [share(listener) for listener in listeners]

        async def lead() -> None:
            """Called by hypercorn once it accepts; its return makes it stop."""
            life.ready()
            await asked.wait()
            await accept_waiting(listeners, life)
            for listener in shared:
                loop.remove_reader(listener)
            withdraw(listeners)
            clock = await wait_until_drained(life, lambda: meter.is_busy)
            config.graceful_timeout = clock.left
            # Since Python 3.12 its way out waits for connections without a limit.
            loop.call_later(clock.left + _LEAVE, serving.cancel)

        wrapped = wrap_app(meter, config.wsgi_max_body_size, "asgi")
        sockets = Sockets([], shared, [])
        serving = asyncio.create_task(worker_serve(wrapped, config, sockets=sockets, shutdown_trigger=lead))
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await serving
        finally:
            meter.check_start()

    def _config(self) -> Config:
        options = self._options
        config = Config()
        config.errorlog = get_logger("bigtop.hypercorn")
        config.errorlog.setLevel(logging.WARNING)
        config.include_server_header = False
        config.keep_alive_timeout = options.limits.keep_alive
        config.h11_max_incomplete_size = options.limits.head
        return config
