# waitress: pure Python, one thread for all connections and --threads of them for the application.

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any, ClassVar

from waitress import create_server, wasyncore
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer
from waitress.task import WSGITask

from bigtop import log
from bigtop.backends.adapters.drain import TICK, DrainClock
from bigtop.backends.adapters.listeners import share, unclaimed, withdraw
from bigtop.backends.adapters.wsgi_meter import WsgiMeter
from bigtop.backends.base import App, BackendDefaults, Features, Life
from bigtop.log import logger as get_logger


class WaitressBackend(BackendDefaults):
    """Serves a WSGI application with waitress."""

    name: ClassVar[str] = "waitress"
    features: ClassVar[Features] = Features(
        interface="wsgi",
        threads=True,
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
        log.keep("waitress", "waitress.queue")
        watched: dict[int, Any] = {}
        meter = WsgiMeter(app, life, self._options, closes=False)
        server = create_server(meter, map=watched, **self._adjustments(listeners))
        for each in _of(watched, BaseWSGIServer):
            each.channel_class = _channel(life)
        watched[life.fileno()] = _Lifeline(life)
        life.ready()
        while not life.draining:
            wasyncore.loop(timeout=_CLEANUP, use_poll=True, map=watched, count=1)
        del watched[life.fileno()]
        for _ in unclaimed(listeners, life):
            wasyncore.loop(timeout=0, use_poll=True, map=watched, count=1)
        for each in _of(watched, BaseWSGIServer):
            each.del_channel(watched)
        withdraw(listeners)
        clock = DrainClock(life)
        while not clock.is_over(_is_busy(watched), len(_of(watched, HTTPChannel))):
            wasyncore.loop(timeout=TICK, use_poll=True, map=watched, count=1)
        server.task_dispatcher.shutdown(timeout=clock.left)

    def _adjustments(self, listeners: Sequence[socket.socket]) -> dict[str, Any]:
        options, limits = self._options, self._options.limits
        return {
            "sockets": [share(listener) for listener in listeners],
            "threads": options.threads,
            "ident": options.server_header or None,
            "channel_timeout": round(limits.keep_alive or limits.header_timeout),
            "cleanup_interval": _CLEANUP,
            "connection_limit": options.worker_connections,
            "max_request_header_size": limits.head,
            "max_request_body_size": limits.body or _UNLIMITED,
            "inbuf_overflow": limits.body_memory,
            "clear_untrusted_proxy_headers": False,
        }


_CLEANUP = 30  # seconds between two looks for idle connections
_UNLIMITED = 1 << 62


def _of(watched: dict[int, Any], kind: type) -> list[Any]:
    return [one for one in watched.values() if isinstance(one, kind)]


def _is_busy(watched: dict[int, Any]) -> bool:
    return any(
        channel.requests or channel.request or channel.total_outbufs_len
        for channel in _of(watched, HTTPChannel)
    )


def _channel(life: Life) -> type[HTTPChannel]:
    """Return a channel whose answers end the connection once the worker drains."""

    class Task(WSGITask):
        def build_response_header(self) -> bytes:
            if life.draining:
                self.request.headers["CONNECTION"] = "close"
            header: bytes = super().build_response_header()
            return header

    class Channel(HTTPChannel):
        task_class = Task

    return Channel


class _Lifeline:
    """The supervisor's line as one more thing in waitress' event loop."""

    def __init__(self, life: Life) -> None:
        self._life = life

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        self._life.on_lifeline()

    def handle_close(self) -> None:
        """Called by the loop when the other end is gone, which reading finds out as well."""
        self._life.on_lifeline()

    def handle_error(self) -> None:
        get_logger("bigtop.backends").exception("cannot hear the supervisor")
