# The native WSGI backend: puts its parts together.
#
# A request: event loop (who can go on) -> request flow (how) -> connection (bytes in) -> call (application)
# -> stream (bytes out). Beside them: executor (who runs calls: threads or greenlets), acceptor, connections
# (epoll, closing), body, write buffer (slow readers), timeouts, metrics (scoreboard, access log).

from __future__ import annotations

import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from bigtop.backends.base import App, Features, Life
from bigtop.backends.cutoff import on_interrupt
from bigtop.backends.failures import serve_here
from bigtop.backends.native.acceptor import Acceptor, room
from bigtop.backends.native.access_log import access_log
from bigtop.backends.native.backend import NativeBackend
from bigtop.backends.native.engines import Engines
from bigtop.backends.native.framework_routes import wsgi_reader
from bigtop.backends.native.handlers.handler_chain import Chain
from bigtop.backends.native.timeouts import Timeouts, Wait
from bigtop.backends.native.transport.transports import routes_of
from bigtop.backends.native.transport.write_buffer import Pause, patient
from bigtop.backends.serve_options import NATIVE_OPTIONS, ServeOptions
from bigtop.backends.wsgi.body_stream import Streaming
from bigtop.backends.wsgi.connections.admission import Admission
from bigtop.backends.wsgi.connections.connection_factory import ConnectionFactory
from bigtop.backends.wsgi.connections.connections import Connections
from bigtop.backends.wsgi.connections.multiplexing import (
    Delegating,
    FirstDelegating,
    FirstMultiplexing,
    Multiplexing,
)
from bigtop.backends.wsgi.connections.worker_handoff import WorkerHandoff
from bigtop.backends.wsgi.context import WorkerContext
from bigtop.backends.wsgi.event_loop import EventLoop
from bigtop.backends.wsgi.executors.executor import Executor
from bigtop.backends.wsgi.executors.thread_executor import ThreadExecutor
from bigtop.backends.wsgi.metrics import WsgiMetrics
from bigtop.backends.wsgi.request_flow import RequestFlow
from bigtop.backends.wsgi.websockets.upgraded import Means, SpokenSocket, Upgrades
from bigtop.http.interfaces.wsgi import Environ, worker_environ
from bigtop.http.paths.paths import root_of
from bigtop.http.paths.time_limits import policy_of

EPOLL: Final = select.epoll  # kept here: gevent takes it out of its module

# What both executors of calls, threads and greenlets, heed besides.
HEEDS: Final = NATIVE_OPTIONS | {"limits.send_file"}


class WsgiBackend(NativeBackend):
    """Serves a WSGI application with one event loop and `options.threads` calls at once."""

    name: ClassVar[str] = "wsgi"
    features: ClassVar[Features] = Features(
        interface="wsgi",
        threads=True,
        static=True,
        sendfile=True,
        balancers=True,
        routes=True,
        paths=True,
        tls=True,
        held=True,
        http2=True,
        reforks=True,
        request_hooks=True,
        heeds=HEEDS | {"main_thread", "switch_interval"},
    )

    def speaks_http2(self, life: Life) -> bool:
        # In the main thread alone nobody would read what the client says of its window while a call waits.
        return super().speaks_http2(life) and not self._options.main_thread

    def serve(self, listeners: Sequence[socket.socket], app: App, life: Life) -> None:
        """Answer requests until the drain is over; main thread only. Threads left over are inside calls."""
        options = self._options
        sys.setswitchinterval(options.switch_interval)
        spoken = Upgrades(Means(SpokenSocket, threading.Lock, patient, _started), options.limits)
        relief = not options.main_thread
        executor = ThreadExecutor(options.threads, life.slot.latencies, spoken, relief=relief)
        wait = patient(options.limits.send_timeout) if options.main_thread else None
        await_input = patient(options.limits.body_timeout)
        chain = self.whole_chain(life, lambda: executor.detached)
        streams = streaming(options, await_input)
        if policy_of(options.limits.timeout_action).interrupts():
            executor.interrupting()
            on_interrupt(lambda _frame: executor.end_late_call(), life.slot.words)
        context = WorkerContext(app, options, life.slot, chain, executor, wait, streams)
        environ = environ_of(options, multithread=options.threads > 1)
        # A WebSocket keeps its thread for as long as it lasts.
        upgrades = {b"websocket"} if options.threads > 1 and not options.main_thread else set()
        engines = Engines(options, routes_of(life))
        connection_factory = ConnectionFactory(
            *(self.transports(listeners, life), engines, context, environ, self.forwarding, upgrades),
            prior_knowledge=self.speaks_http2(life),
        )
        serve(listeners, life, options, executor, chain, connection_factory)


def _started(run: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=run, name="relay", daemon=True)
    thread.start()
    return thread


def serve(
    listeners: Sequence[socket.socket],
    life: Life,
    options: ServeOptions,
    executor: Executor,
    chain: Chain,
    connection_factory: ConnectionFactory,
) -> None:
    """Answer requests with `executor` until the drain is over."""
    serve_here()
    epoll = EPOLL()
    acceptor = Acceptor(listeners, epoll, room(options.worker_connections), life.slot.words)
    metrics = WsgiMetrics(life, access_log(options, life), wsgi_reader())
    connections = Connections(epoll, Timeouts(options.limits), metrics, chain.connections)
    worker_handoff = WorkerHandoff(life, connections, epoll, time.monotonic_ns())
    flow = RequestFlow(connections, executor, metrics, worker_handoff, chain)

    def multiplexing() -> Multiplexing:
        from bigtop.backends.wsgi.http2.delegation.delegation import DelegationQueues
        from bigtop.backends.wsgi.http2.flow import Http2Flow  # here: where clients speak that

        queues = DelegationQueues(life.handoff, epoll, connection_factory.lent)
        flow.multiplexed = Http2Flow(flow, connections, executor, metrics, queues)
        return flow.multiplexed

    def delegating() -> Delegating:
        multiplexing()
        return flow.delegating

    flow.multiplexed = FirstMultiplexing(multiplexing)
    flow.delegating = FirstDelegating(delegating)
    admission = Admission(acceptor, worker_handoff, connection_factory, connections, flow, executor, life)
    if options.proxy.routes:
        from bigtop.backends.wsgi.upstream.upstream_calls import (
            UpstreamCalls,  # for those who have such servers
        )

        app_upgrades = connection_factory.read_upgrades(b"websocket")
        connections.passing_on = UpstreamCalls(options.proxy, epoll, connections, flow, app_upgrades)
    loop = EventLoop(epoll, admission, connections, flow, executor, life)
    admission.regulate()
    life.ready()
    life.closing.append(executor.close)
    executor.work(loop.lead)


def environ_of(options: ServeOptions, *, multithread: bool) -> Environ:
    """Return what is the same for all requests."""
    root = root_of(options.root_path)
    return worker_environ(
        sys.stderr, multithread=multithread, multiprocess=True, hints=True, script_name=root.latin
    )


def streaming(options: ServeOptions, await_input: Pause) -> Streaming | None:
    """Return which bodies are wanted as they come; `await_input` waits for them."""
    if not options.stream_bodies:
        return None
    pace = Wait(options.limits.body_timeout, options.limits.body_rate)
    return Streaming(options.stream_bodies, await_input, pace)
