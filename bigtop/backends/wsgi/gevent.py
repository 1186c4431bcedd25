# gevent: our own server, with a greenlet for each application call instead of a thread.
#
# Rule 1: the standard library is made cooperative before the application is imported (prepare()), also in a
# fork server that preloads it; --no-monkey leaves that to the application.
# Rule 2: a hub does not survive a fork, its event loop is shared with the parent (gevent.reinit()).
# A greenlet that computes instead of waiting stops everybody: a thread beside the hub notices that and writes
# its stack to the log.

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import ClassVar

import gevent
import gevent.lock
import gevent.socket

from bigtop.backends.base import App, Features, Life
from bigtop.backends.cutoff import on_interrupt
from bigtop.backends.native.backend import NativeBackend
from bigtop.backends.native.engines import Engines
from bigtop.backends.native.handlers.apart import Apart
from bigtop.backends.native.transport.transport import READABLE
from bigtop.backends.native.transport.transports import routes_of
from bigtop.backends.native.transport.write_buffer import Pause
from bigtop.backends.wsgi.backend import HEEDS, environ_of, serve, streaming
from bigtop.backends.wsgi.connections.connection_factory import ConnectionFactory
from bigtop.backends.wsgi.context import WorkerContext
from bigtop.backends.wsgi.executors.greenlet_executor import GreenletExecutor
from bigtop.backends.wsgi.websockets.upgraded import Means, Spoken, Upgrades
from bigtop.http.paths.time_limits import policy_of
from bigtop.record import replace

BLOCKED = 2.0  # seconds without a turn of the hub that are worth a report


class _SpokenSocket(Spoken, gevent.socket.socket):
    """One that gives way to other greenlets. (Here: compiled code cannot extend a class with slots.)"""


class GeventBackend(NativeBackend):
    """Serves a WSGI application with one event loop and a greenlet per call."""

    name: ClassVar[str] = "gevent"
    features: ClassVar[Features] = Features(
        interface="wsgi",
        static=True,
        sendfile=True,
        balancers=True,
        routes=True,
        paths=True,
        tls=True,
        held=True,
        http2=True,
        request_hooks=True,
        heeds=HEEDS | {"limit_concurrency", "monkey"},
    )

    def prepare(self) -> None:
        """Make the standard library cooperative, unless that is not wanted."""
        if self._options.monkey:
            from gevent import monkey

            monkey.patch_all()

    def apart(self) -> Apart:
        return Apart(gevent.get_hub().threadpool.apply, gevent.lock.Semaphore, gevent.sleep)

    def serve(self, listeners: Sequence[socket.socket], app: App, life: Life) -> None:
        gevent.reinit()
        gevent.config.monitor_thread = True
        gevent.config.max_blocking_time = BLOCKED
        gevent.get_hub().start_periodic_monitoring_thread()
        options = self._options
        # A lock of gevent's also where the standard library is not cooperative.
        upgrades = Upgrades(
            Means(_SpokenSocket, gevent.lock.Semaphore, _patient, gevent.spawn), options.limits
        )
        executor = GreenletExecutor(options.worker_connections, life.slot, upgrades, options.timeout)
        wait = _patient(options.limits.send_timeout)
        await_input = _patient(options.limits.body_timeout)
        chain = self.whole_chain(life, lambda: executor.detached)
        streams = streaming(options, await_input)
        if policy_of(options.limits.timeout_action).interrupts():
            executor.interrupting()
            on_interrupt(executor.end_standstill, life.slot.words)
        per_call = replace(options, timeout=0.0)  # which is the hub's
        context = WorkerContext(app, per_call, life.slot, chain, executor, wait, streams)
        environ = environ_of(options, multithread=True)
        engines = Engines(options, routes_of(life))
        connection_factory = ConnectionFactory(
            *(self.transports(listeners, life), engines, context, environ, self.forwarding, {b"websocket"}),
            prior_knowledge=self.speaks_http2(life),
        )
        serve(listeners, life, options, executor, chain, connection_factory)


def _patient(seconds: float) -> Pause:
    """Return what waits as write_buffer.patient() does, but gives way to other greenlets."""

    def wait(fd: int, event: int) -> bool:
        until = gevent.socket.wait_read if event == READABLE else gevent.socket.wait_write
        try:
            until(fd, timeout=seconds or None)
        except TimeoutError:
            return False
        return True

    return wait
