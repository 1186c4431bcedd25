# gevent: a greenlet for each of up to --worker-connections clients, on gevent's own pywsgi.
#
# Rule 1: the standard library is made cooperative before the application is imported (prepare()), also in a
# fork server that preloads it; --no-monkey leaves that to the application.
# Rule 2: a hub does not survive a fork, its event loop is shared with the parent (gevent.reinit()).
# Rule 3: a WebSocket is the application's own affair, which takes the socket (simple-websocket, flask-sock).
# It may last, so a drain does not wait for its end: the application is shown the client's.
# A greenlet that computes instead of waiting stops everybody: a thread beside the hub notices that and writes
# its stack to the log.

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Sequence
from typing import Any, ClassVar

import gevent
import gevent.pool
import gevent.pywsgi
import gevent.socket

from bigtop.backends.base import App, Features, Life, ServeOptions
from bigtop.backends.books import Books
from bigtop.backends.draining import drain
from bigtop.backends.meter import WsgiMeter

BLOCKED = 2.0  # seconds without a turn of the hub that are worth a report


class GeventBackend:
    """Serves a WSGI application with gevent's pywsgi."""

    name: ClassVar[str] = "gevent"
    features: ClassVar[Features] = Features(
        interface="wsgi",
        heeds=frozenset(
            {
                "worker_connections",
                "server_header",
                "limits.keep_alive",
                "limits.header_timeout",
            }
        ),
    )

    def __init__(self, options: ServeOptions) -> None:
        self._options = options

    def prepare(self) -> None:
        """Make the standard library cooperative, unless that is not wanted."""
        if self._options.monkey:
            from gevent import monkey

            monkey.patch_all()

    def serve(self, listeners: Sequence[socket.socket], app: App, life: Life) -> None:
        gevent.reinit()
        gevent.config.monitor_thread = True
        gevent.config.max_blocking_time = BLOCKED
        gevent.get_hub().start_periodic_monitoring_thread()
        books = Books(life, self._options)
        pool = gevent.pool.Pool(self._options.worker_connections)
        meter = WsgiMeter(app, books, sockets=True)
        servers = [_Server(listener, meter, pool, self._options) for listener in listeners]
        for server in servers:
            server.start()
        life.ready()
        while not life.draining:
            gevent.socket.wait_read(life.fileno())
            life.on_lifeline()
        for server in servers:
            server.drain()
        drain(life, lambda: books.open > 0, lambda: len(pool))


class _Server(gevent.pywsgi.WSGIServer):
    """pywsgi on a listener that others share."""

    def __init__(
        self, listener: socket.socket, app: App, pool: gevent.pool.Pool, options: ServeOptions
    ) -> None:
        self.options = options
        self.drains = False
        self.upgrading: set[Any] = set()  # sockets of requests that may have become WebSockets
        address = listener.getsockname()
        name, port = address[:2] if isinstance(address, tuple) else ("localhost", 80)
        super().__init__(
            gevent.socket.socket(fileno=os.dup(listener.fileno())),
            app,
            spawn=pool,
            log=None,
            error_log=logging.getLogger("bigtop.gevent"),
            handler_class=_Handler,
            # Without a name, pywsgi asks the name service for one.
            environ={"SERVER_NAME": name, "SERVER_PORT": str(port), "wsgi.multiprocess": True},
        )

    def drain(self) -> None:
        self.drains = True
        self.stop_accepting()
        for client in self.upgrading:
            with contextlib.suppress(OSError):  # it may be gone
                client.shutdown(socket.SHUT_RD)


class _Handler(gevent.pywsgi.WSGIHandler):
    """One connection: with a limit for silence, and an end when the worker drains."""

    def read_requestline(self) -> Any:
        limits = self.server.options.limits
        line: Any = ""  # pywsgi takes it for the client's end
        with gevent.Timeout(limits.keep_alive or limits.header_timeout or None, False):
            line = super().read_requestline()
        return line  # noqa: RET504 - the end of time jumps over the assignment

    def run_application(self) -> None:
        if self.environ.get("HTTP_UPGRADE", "").lower() != "websocket":
            super().run_application()
            return
        self.server.upgrading.add(self.socket)
        try:
            super().run_application()
        finally:
            self.server.upgrading.discard(self.socket)
            if not self.status:  # the application spoke to the client by itself: nothing may follow
                self.close_connection = True
                with contextlib.suppress(OSError):  # the client may be gone
                    # Closing is not enough: who took the socket has a duplicate.
                    self.socket.shutdown(socket.SHUT_WR)

    def finalize_headers(self) -> None:
        super().finalize_headers()
        if (self.server.drains or not self.server.options.limits.keep_alive) and self.code != 101:
            self.close_connection = True
            self.response_headers.append((b"Connection", b"close"))
        if name := self.server.options.server_header:
            self.response_headers.append((b"Server", name.encode("latin-1")))
