# Worker context: what all requests of a worker share, the application and the few options that they meet.

from __future__ import annotations

import os
import time

from bigtop.backends.base import App
from bigtop.backends.native.handlers.handler_chain import Chain, own_pages
from bigtop.backends.native.transport.write_buffer import Bounds, Pause
from bigtop.backends.serve_options import ServeOptions
from bigtop.backends.wsgi.body import Body
from bigtop.backends.wsgi.body_stream import Streaming
from bigtop.backends.wsgi.stream import Leader
from bigtop.http.messages import Request
from bigtop.http.paths.time_limits import TimeLimits
from bigtop.http.requestid import RequestIds
from bigtop.http.response import Stamps
from bigtop.ipc.scoreboard import Slot


class WorkerContext:
    """`chain` is what stands in front of the application. `leader` sends what a client does not take, or what
    may wait for others. `wait` is for calls that have to send by themselves (write_buffer.Bounds), and
    `streaming` for those that read their body as it comes. A `time_limit` is in nanoseconds, 0 for none;
    `time_limits` is None where it is that of all calls."""

    __slots__ = (
        "_body_memory",
        "_temp_dir",
        "app",
        "bounds",
        "chain",
        "ids",
        "leader",
        "limits",
        "slot",
        "stamps",
        "streaming",
        "time_limit",
        "time_limits",
    )

    def __init__(
        self,
        app: App,
        options: ServeOptions,
        slot: Slot,
        chain: Chain,
        leader: Leader,
        wait: Pause | None,
        streaming: Streaming | None,
    ) -> None:
        self.app = app
        self.slot = slot
        self.leader = leader
        self.chain = chain
        self.limits = limits = options.limits
        self.bounds = Bounds(limits.send_memory, limits.send_file, options.temp_dir, wait)
        self.streaming = streaming
        time_limits = TimeLimits(options.timeout, limits.timeout_for)
        self.time_limit = time_limits.default
        self.time_limits = time_limits if time_limits.patterns else None
        self._body_memory = options.limits.body_memory
        self._temp_dir = options.temp_dir
        self.ids = RequestIds(os.urandom(8).hex())  # which no other worker has
        self.stamps = Stamps(options.server_header, time.time, own_pages(options))

    def body_of(self, request: Request) -> Body:
        """Return the place where the body of `request` is collected."""
        return Body(self._body_memory, self._temp_dir, request)
