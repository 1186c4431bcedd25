# What all requests of a worker share: the application, and the few options that a request meets.

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from bigtop.backends.base import App, ServeOptions
from bigtop.backends.wsgi.body import Body
from bigtop.http.messages import Request
from bigtop.http.response import Stamp, stamp
from bigtop.scoreboard import Slot

if TYPE_CHECKING:
    from bigtop.backends.wsgi.call import Call


class Site:
    """`block(call)` asks the leader to send what the client of a call does not take; from any thread."""

    __slots__ = (
        "_body_memory",
        "_second",
        "_server",
        "_stamp",
        "_temp_dir",
        "app",
        "block",
        "send_memory",
        "slot",
    )

    def __init__(self, app: App, options: ServeOptions, slot: Slot, block: Callable[[Call], None]) -> None:
        self.app = app
        self.slot = slot
        self.block = block
        self.send_memory = options.limits.send_memory
        self._body_memory = options.limits.body_memory
        self._temp_dir = options.temp_dir
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
