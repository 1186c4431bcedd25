# meinheld: C around picoev, one thread. Its last release is of 2020; see docs/reference/backends.md for how
# it is installed on today's Pythons.
#
# Built without greenlets it loses the wake-up for what the socket did not take at once: responses of some
# megabytes stop half-way, also where it runs alone. Built with them it does not stand the thread it runs in.
#
# It is asked to keep connections alive as --keep-alive says; its own access log stays off, since ours has the
# same lines for every backend. What gunicorn knows as its heartbeat is our lifeline and scoreboard.

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any, ClassVar

from meinheld import server

from bigtop.backends.adapters.listeners import share
from bigtop.backends.adapters.threaded_server import serve_in_thread
from bigtop.backends.adapters.wsgi_meter import WsgiMeter
from bigtop.backends.base import App, BackendDefaults, Features, Life
from bigtop.log import logger as get_logger


class MeinheldBackend(BackendDefaults):
    """Serves a WSGI application with meinheld."""

    name: ClassVar[str] = "meinheld"
    features: ClassVar[Features] = Features(
        interface="wsgi",
        unix=False,
        large=False,
        heeds=frozenset(
            {
                "limits.keep_alive",
                "limits.body",
            }
        ),
    )

    def serve(self, listeners: Sequence[socket.socket], app: App, life: Life) -> None:
        limits = self._options.limits
        server.set_listen_socket([share(listener).detach() for listener in listeners])
        server.set_keepalive(round(limits.keep_alive))
        server.set_max_content_length(limits.body or _UNLIMITED)
        server.set_access_logger(None)
        server.set_error_logger(get_logger("bigtop.meinheld"))
        meter = WsgiMeter(_never_empty(app), life, self._options)
        # Without keep-alive it ends each answer with "Connection: close".
        serve_in_thread(lambda: server.run(meter), listeners, life, meter, lambda: server.set_keepalive(0))


def _never_empty(app: App) -> App:
    """Return an application that never answers with an empty list: meinheld announces no length for one, and
    clients with keep-alive wait for a body."""

    def call(environ: dict[str, Any], start_response: Any) -> Any:
        return app(environ, start_response) or [b""]

    return call


_UNLIMITED = (1 << 31) - 1  # it keeps the limit in a C int
