# granian: Rust (hyper on tokio) with the application on asyncio, through granian's embeddable server.
#
# granian binds by itself and forks by itself; only its embedded server (called experimental there) leaves
# both to others, and that one speaks ASGI. Bigtop hands its listener over where granian would bind, as a
# SocketHolder, which is what granian's own workers get. For WSGI, granian offers no such way.

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any, ClassVar

from granian._granian import SocketHolder
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server

from bigtop import log
from bigtop.backends.adapters.asgi_meter import AsgiMeter
from bigtop.backends.adapters.asyncio_server import accept_waiting, drain_event, wait_until_drained
from bigtop.backends.adapters.drain import TICK
from bigtop.backends.adapters.listeners import is_watched, share, the_only, withdraw
from bigtop.backends.base import App, BackendDefaults, Features, Life

# Modules of it that say something by loggers of their own.
_PARTS = ("asgi.callbacks", "asgi.http", "asgi.io", "asgi.utils", "callbacks", "serve", "utils", "workers")


class GranianBackend(BackendDefaults):
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

    def serve(self, listeners: Sequence[socket.socket], app: App, life: Life) -> None:
        log.keep("_granian", *(f"_granian.{part}" for part in _PARTS))
        asyncio.run(self._serve(the_only(listeners, self.name), app, life))

    async def _serve(self, listener: socket.socket, app: App, life: Life) -> None:
        limits = self._options.limits
        meter = AsgiMeter(app, life, self._options)
        server = _Server(
            meter,
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
        asked = drain_event(life)
        serving = asyncio.create_task(server.serve())
        while not serving.done() and not is_watched(listener):
            await asyncio.sleep(TICK)
        if not serving.done():
            life.ready()
            await asyncio.wait(
                [serving, asyncio.create_task(asked.wait())], return_when=asyncio.FIRST_COMPLETED
            )
        if life.draining:
            await accept_waiting([listener], life)
            withdraw([listener])
            clock = await wait_until_drained(life, lambda: meter.is_busy)
            server.stop()
            await asyncio.wait([serving], timeout=max(clock.left, 1))
        else:
            try:
                await serving
            finally:
                meter.check_start()


class _Server(Server):
    """granian on a socket that it did not bind."""

    listener: socket.socket

    def _init_shared_socket(self) -> None:
        is_unix = self.listener.family == socket.AF_UNIX
        self._ssp: Any = None
        self._shd = SocketHolder(share(self.listener).detach(), is_unix, self.backlog)
        self._sfd = self._shd.get_fd()
