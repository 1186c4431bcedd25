# What all requests of a worker share: the application, and the few options that a request meets.

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from bigtop.backends.base import App, ServeOptions
from bigtop.backends.files import Redirects
from bigtop.backends.outbox import Bounds, Pause
from bigtop.backends.wsgi.body import Body
from bigtop.backends.wsgi.stream import Streaming
from bigtop.http.messages import Request
from bigtop.http.response import Stamp, stamp
from bigtop.scoreboard import Slot

if TYPE_CHECKING:
    from bigtop.backends.wsgi.crew import Crew


class Site:
    """`crew` is asked, from any thread, to send what a client does not take, or what may wait for others.
    `wait` is for calls that have to send by themselves (outbox.Bounds), `streaming` for those that read their
    body as it comes."""

    __slots__ = (
        "_body_memory",
        "_second",
        "_server",
        "_stamp",
        "_temp_dir",
        "app",
        "bounds",
        "crew",
        "new_id",
        "redirects",
        "slot",
        "streaming",
    )

    def __init__(
        self,
        app: App,
        options: ServeOptions,
        slot: Slot,
        crew: Crew,
        wait: Pause | None,
        streaming: Streaming | None,
    ) -> None:
        self.app = app
        self.slot = slot
        self.crew = crew
        self.redirects = Redirects(options.sendfile_roots) if options.sendfile_roots else None
        limits = options.limits
        self.bounds = Bounds(limits.send_memory, limits.send_file, options.temp_dir, wait)
        self.streaming = streaming
        self._body_memory = options.limits.body_memory
        self._temp_dir = options.temp_dir
        # Makes X-Request-IDs: a name that no other worker has, and a number. From any thread.
        self.new_id: Callable[[], str] = map(f"{secrets.token_hex(8)}-%d".__mod__, itertools.count()).__next__
        self._server = options.server_header
        self._second = 0
        self._stamp = stamp(self._server, 0)

    def body_of(self, request: Request) -> Body:
        """Return the place where the body of `request` is collected."""
        return Body(self._body_memory, self._temp_dir, request)

    def stamp(self) -> Stamp:
        """Return the server's lines of a head, made once per second. From any thread."""
        now = time.time()
        if int(now) != self._second:
            self._second = int(now)
            self._stamp = stamp(self._server, now)
        return self._stamp
