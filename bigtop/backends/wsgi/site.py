# What all requests of a worker share: the application, and the few options that a request meets.

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from bigtop.backends.base import App, ServeOptions
from bigtop.backends.files import Redirects
from bigtop.backends.outbox import Bounds, Pause
from bigtop.backends.wsgi.body import Body
from bigtop.backends.wsgi.stream import Streaming
from bigtop.http.messages import Request
from bigtop.http.response import Stamps
from bigtop.http.wsgi import RequestIds
from bigtop.scoreboard import Slot

if TYPE_CHECKING:
    from bigtop.backends.wsgi.crew import Crew


class Site:
    """`crew` is asked, from any thread, to send what a client does not take, or what may wait for others.
    `wait` is for calls that have to send by themselves (outbox.Bounds), `streaming` for those that read their
    body as it comes."""

    __slots__ = (
        "_body_memory",
        "_temp_dir",
        "app",
        "bounds",
        "crew",
        "ids",
        "redirects",
        "slot",
        "stamps",
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
        self.ids = RequestIds(secrets.token_hex(8))  # which no other worker has
        self.stamps = Stamps(options.server_header, time.time)

    def body_of(self, request: Request) -> Body:
        """Return the place where the body of `request` is collected."""
        return Body(self._body_memory, self._temp_dir, request)
