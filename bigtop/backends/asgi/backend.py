# The ASGI backend: puts its parts together.
#
# A request: buffered transport (bytes in) -> connection (which request) -> call (application) -> buffered
# transport (bytes out). A WebSocket: connection -> websocket (frames) <-> websocket call (application).
# Beside them: worker (accepting, start, end), connection factory, lifespan, context (what all share), timers,
# metrics (scoreboard, access log), eager (tasks).

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar

from bigtop.backends.asgi.context import WorkerContext
from bigtop.backends.asgi.loop.loops import close_loop, new_loop, run_through
from bigtop.backends.asgi.loop.overdue import OverdueCalls
from bigtop.backends.asgi.metrics import AsgiMetrics
from bigtop.backends.asgi.worker_loop import WorkerLoop
from bigtop.backends.base import App, Features, Life
from bigtop.backends.cutoff import on_interrupt
from bigtop.backends.failures import serve_here
from bigtop.backends.native.access_log import access_log
from bigtop.backends.native.backend import NativeBackend
from bigtop.backends.native.framework_routes import asgi_reader
from bigtop.backends.serve_options import NATIVE_OPTIONS
from bigtop.http.paths.time_limits import SECOND, TimeLimits, policy_of


class AsgiBackend(NativeBackend):
    """Serves an ASGI application in one event loop."""

    name: ClassVar[str] = "asgi"
    features: ClassVar[Features] = Features(
        interface="asgi",
        routes=True,
        paths=True,
        tls=True,
        held=True,
        http2=True,
        request_hooks=True,
        static=True,
        sendfile=True,
        balancers=True,
        heeds=NATIVE_OPTIONS
        | frozenset(
            {
                "loop",
                "lifespan",
                "limit_concurrency",
                "slow_callback",
                "websocket.message",
                "websocket.queue",
                "websocket.ping_interval",
                "websocket.ping_timeout",
                "websocket.deflate",
                "websocket.origins",
            }
        ),
    )

    def serve(self, listeners: Sequence[socket.socket], app: App, life: Life) -> None:
        """Answer requests until the drain is over; main thread only. AppError: it failed to start."""
        serve_here()
        loop = new_loop(self._options.loop, self._options.slow_callback)
        metrics = AsgiMetrics(
            life, access_log(self._options, life), asgi_reader(), loop, self._options.timeout
        )
        chain = self.whole_chain(life, lambda: metrics.busy)
        context = WorkerContext(app, chain, self._options, loop, metrics, self.forwarding)
        _limit(context, life)
        if self._options.proxy.routes:
            from bigtop.backends.asgi.upstream.upstream_calls import (
                UpstreamCalls,  # for those who have such servers
            )

            context.passing_on = UpstreamCalls(self._options.proxy, context)
        transports = self.transports(listeners, life)
        worker = WorkerLoop(context, life, listeners, transports, prior_knowledge=self.speaks_http2(life))
        try:
            with suppress(asyncio.CancelledError):  # told to leave before the application was ready
                run_through(loop, worker.run(), worker.is_serving)
        finally:
            close_loop(loop, join_threads=not worker.is_forced)


def _limit(context: WorkerContext, life: Life) -> None:
    """Have requests end that take longer than they may, and those that keep the loop from turning."""
    options = context.options
    limits = TimeLimits(0, options.limits.timeout_for)  # --timeout is the loop's
    interrupts = policy_of(options.limits.timeout_action).interrupts()
    timeout_ns = int(options.timeout * SECOND)
    overdue = OverdueCalls(context.loop, life.slot, context.tasks, limits, interrupts=interrupts)
    if limits:
        context.overdue = overdue
    if interrupts:
        on_interrupt(lambda frame: overdue.end_standstill(frame, timeout_ns), life.slot.words)
