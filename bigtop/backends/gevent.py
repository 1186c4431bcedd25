# gevent: our own server, with a greenlet for each application call instead of a thread.
#
# Rule 1: the standard library is made cooperative before the application is imported (prepare()), also in a
# fork server that preloads it; --no-monkey leaves that to the application.
# Rule 2: a hub does not survive a fork, its event loop is shared with the parent (gevent.reinit()).
# A greenlet that computes instead of waiting stops everybody: a thread beside the hub notices that and writes
# its stack to the log.

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Sequence
from typing import ClassVar

import gevent
import gevent.socket

from bigtop.backends.base import App, Features, Life, ServeOptions
from bigtop.backends.outbox import Pause
from bigtop.backends.wsgi.backend import HEEDS, Welcome, routes, serve, streaming
from bigtop.backends.wsgi.greenlets import Greenlets
from bigtop.backends.wsgi.site import Site
from bigtop.http.wsgi import worker_environ

BLOCKED = 2.0  # seconds without a turn of the hub that are worth a report


class GeventBackend:
    """Serves a WSGI application with one event loop and a greenlet per call."""

    name: ClassVar[str] = "gevent"
    features: ClassVar[Features] = Features(
        interface="wsgi", static=True, sendfile=True, balancers=True, routes=True, heeds=HEEDS
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
        options = self._options
        crew = Greenlets(options.worker_connections, life.slot)
        wait = _patient(gevent.socket.wait_write, options.limits.send_timeout)
        await_input = _patient(gevent.socket.wait_read, options.limits.body_timeout)
        site = Site(app, options, life.slot, crew, wait, streaming(options, await_input))
        environ = worker_environ(sys.stderr, multithread=True, multiprocess=True, hints=True)
        welcome = Welcome(options, site, environ, routes(life), upgrades={b"websocket"})
        serve(listeners, life, options, crew, welcome)


def _patient(until: Callable[..., None], seconds: float) -> Pause:
    """Return what waits as outbox.patient() does, but gives way to other greenlets."""

    def wait(sock: socket.socket) -> bool:
        try:
            until(sock.fileno(), timeout=seconds or None)
        except TimeoutError:
            return False
        return True

    return wait
