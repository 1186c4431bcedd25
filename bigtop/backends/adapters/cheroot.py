# cheroot: CherryPy's server. One thread watches connections, --threads of them read, run the application and
# write. A slow client therefore holds a thread; put a proxy in front, or use the native backend.

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from typing import Any, ClassVar

from cheroot.wsgi import Server

from bigtop.backends.adapters.drain import SOON, drain, wait_until_draining
from bigtop.backends.adapters.listeners import SharedListener, share, unclaimed, withdraw
from bigtop.backends.adapters.wsgi_meter import WsgiMeter
from bigtop.backends.base import App, BackendDefaults, Features, Life
from bigtop.backends.serve_options import ServeOptions


class CherootBackend(BackendDefaults):
    """Serves a WSGI application with cheroot."""

    name: ClassVar[str] = "cheroot"
    features: ClassVar[Features] = Features(
        interface="wsgi",
        threads=True,
        patient=False,
        heeds=frozenset(
            {
                "worker_connections",
                "server_header",
                "limits.keep_alive",
                "limits.header_timeout",
                "limits.head",
                "limits.body",
            }
        ),
    )

    def serve(self, listeners: Sequence[socket.socket], app: App, life: Life) -> None:
        meter = WsgiMeter(app, life, self._options)
        servers = [_Server(share(listener), meter, self._options) for listener in listeners]
        for server in servers:
            server.prepare()
            threading.Thread(target=server.serve, name="cheroot", daemon=True).start()
        life.ready()
        wait_until_draining(life)
        for _ in unclaimed(listeners, life):
            time.sleep(SOON)
        withdraw(listeners)
        for server in servers:
            server.keeps = False
        drain(life, lambda: meter.is_busy or any(server.requests.qsize for server in servers))
        if not meter.is_busy:  # stop() would wait for what still runs, for ever
            for server in servers:
                server.stop()


class _Server(Server):
    """A server on a socket that it did not bind."""

    def __init__(self, listener: SharedListener, app: App, options: ServeOptions) -> None:
        self._listener = listener
        self.socket: socket.socket | None = None
        self.keeps = True
        address = listener.getsockname()
        super().__init__(
            address[:2] if isinstance(address, tuple) else address,
            app,
            numthreads=options.threads,
            max=options.threads,
            server_name=options.server_header,
            timeout=options.limits.keep_alive or options.limits.header_timeout,
        )
        self.keep_alive_conn_limit = options.worker_connections if options.limits.keep_alive else 0
        self.max_request_header_size = options.limits.head
        self.max_request_body_size = options.limits.body

    def bind(self, family: int, type: int, proto: int = 0) -> socket.socket:  # noqa: A002 - cheroot's name
        self.socket = self._listener
        return self._listener

    def bind_unix_socket(self, bind_addr: str) -> socket.socket:
        self.socket = self._listener
        return self._listener

    @property
    def can_add_keepalive_connection(self) -> Any:
        """Whether answers leave the connection open; cheroot asks for each."""
        return self.keeps and super().can_add_keepalive_connection

    def stop(self) -> None:
        # It would connect to the address of its socket to wake itself up.
        self.socket = None
        super().stop()
