# wsgiref: the standard library's server, one request and one connection at a time. For trying things out.

from __future__ import annotations

import selectors
import socket
from collections.abc import Sequence
from typing import Any, ClassVar
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from bigtop.backends.adapters.listeners import unclaimed, withdraw
from bigtop.backends.adapters.wsgi_meter import WsgiMeter
from bigtop.backends.base import App, BackendDefaults, Features, Life


class WsgirefBackend(BackendDefaults):
    """Serves a WSGI application with wsgiref."""

    name: ClassVar[str] = "wsgiref"
    features: ClassVar[Features] = Features(
        interface="wsgi",
        keep_alive=False,
        patient=False,
        pipelines=False,
        interruptible=False,
        chunked=False,
    )

    def serve(self, listeners: Sequence[socket.socket], app: App, life: Life) -> None:
        meter = WsgiMeter(app, life, self._options, closes=False)
        silence = self._options.limits.header_timeout or None
        with selectors.DefaultSelector() as selector:
            selector.register(life.fileno(), selectors.EVENT_READ)
            servers = [_Server(listener, meter, silence) for listener in listeners]
            for listener, server in zip(listeners, servers, strict=True):
                selector.register(listener, selectors.EVENT_READ, server)
            life.ready()
            while not life.draining:
                ready = [key.data for key, _ in selector.select()]
                if None in ready:  # first: a worker that drains takes nobody any more
                    life.on_lifeline()
                for server in ready:
                    if server is not None and not life.draining:
                        server.handle_request()
        for _ in unclaimed(listeners, life):
            for server in servers:
                server.handle_request()
        withdraw(listeners)


class _Server(WSGIServer):
    timeout = 0  # another worker may have taken the connection: do not wait for the next

    def __init__(self, listener: socket.socket, app: App, silence: float | None) -> None:
        address = listener.getsockname()
        host, port = address[:2] if isinstance(address, tuple) else ("localhost", 80)
        super().__init__((host, port), _handler(silence), bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_name, self.server_port = host, port
        self.setup_environ()
        self.set_app(app)

    def get_request(self) -> tuple[socket.socket, Any]:
        client, address = self.socket.accept()
        return client, address or ("", 0)


def _handler(silence: float | None) -> type[WSGIRequestHandler]:
    class Handler(WSGIRequestHandler):
        timeout = silence  # seconds; one silent client must not stop everybody for good

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            """Nothing: the access log is Bigtop's."""

    return Handler
