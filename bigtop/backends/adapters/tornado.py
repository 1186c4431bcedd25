# tornado: its HTTP server on asyncio, the application in --threads threads beside it.
#
# Rule: never in the event loop, although tornado could. A call there would stop all other clients, and Django
# refuses to touch its database under a running loop. tornado collects a response before it sends any of it.

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPServerRequest, ResponseStartLine
from tornado.iostream import StreamClosedError
from tornado.wsgi import WSGIContainer

from bigtop import log
from bigtop.backends.adapters.asyncio_server import accept_waiting, drain_event, wait_until_drained
from bigtop.backends.adapters.listeners import share, withdraw
from bigtop.backends.adapters.wsgi_meter import WsgiMeter
from bigtop.backends.base import App, BackendDefaults, Features, Life
from bigtop.log import logger as get_logger


class TornadoBackend(BackendDefaults):
    """Serves a WSGI application with tornado."""

    name: ClassVar[str] = "tornado"
    features: ClassVar[Features] = Features(
        interface="wsgi",
        threads=True,
        streams=False,
        heeds=frozenset(
            {
                "limits.keep_alive",
                "limits.header_timeout",
                "limits.body_timeout",
                "limits.head",
                "limits.body",
            }
        ),
    )

    def serve(self, listeners: Sequence[socket.socket], app: App, life: Life) -> None:
        log.keep("tornado.application", "tornado.general")
        logging.getLogger("tornado.access").setLevel(logging.CRITICAL)  # the access log is Bigtop's
        meter = WsgiMeter(app, life, self._options)
        threads = ThreadPoolExecutor(self._options.threads, "tornado")
        asyncio.run(self._serve(listeners, _Container(_trimmed(meter), threads), life))
        threads.shutdown(wait=False)

    async def _serve(self, listeners: Sequence[socket.socket], container: _Container, life: Life) -> None:
        limits = self._options.limits
        server = HTTPServer(
            container,
            no_keep_alive=limits.keep_alive == 0,
            idle_connection_timeout=limits.keep_alive or limits.header_timeout,
            body_timeout=limits.body_timeout or None,
            max_header_size=limits.head,
            max_body_size=limits.body or None,
        )
        asked = drain_event(life)
        server.add_sockets([share(listener) for listener in listeners])
        life.ready()
        await asked.wait()
        await accept_waiting(listeners, life)
        server.stop()
        withdraw(listeners)
        server.conn_params.no_keep_alive = True  # of all connections: they share it

        def is_busy() -> bool:
            return container.open > 0 or any(one.stream.writing() for one in server._connections)

        await wait_until_drained(life, is_busy, lambda: len(server._connections))


def _trimmed(app: App) -> App:
    """Return `app` with header values as tornado wants them: Django's cookies begin with a space, which is no
    part of a value (RFC 9110, 5.5) and refused nevertheless."""

    def trimmed(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            return start_response(status, [(name, value.strip()) for name, value in headers], exc_info)

        return app(environ, start)

    return trimmed


class _Container(WSGIContainer):
    """As tornado's, which leaves a client without an answer when the application fails."""

    open = 0  # requests, also those that wait for a thread

    async def handle_request(self, request: HTTPServerRequest) -> None:
        self.open += 1
        try:
            await super().handle_request(request)
        except StreamClosedError:
            return
        except Exception:
            # Anything may be wrong inside an application; it must cost this one request only.
            get_logger("bigtop.app").exception("%s %s failed", request.method, request.path)
            connection = request.connection
            assert connection is not None
            headers = HTTPHeaders({"Content-Length": "0"})
            connection.write_headers(ResponseStartLine("HTTP/1.1", 500, "Internal Server Error"), headers)
            connection.finish()
        finally:
            self.open -= 1
