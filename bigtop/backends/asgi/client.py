# What connections have in common, whatever is spoken on them: how they end.
#
# Rule: a connection that may still send is closed by halves, for a close with unread input is a reset, and a
# reset can destroy the answer before the client has read it (RFC 9112, 9.6).

from __future__ import annotations

from time import monotonic_ns

from bigtop.backends.asgi.site import Site
from bigtop.backends.asgi.wire import Wire
from bigtop.backends.deadlines import Wait


class BaseClient:
    """An Owner of a wire that says goodbye. `wait` is the clock that runs."""

    __slots__ = ("_lingering", "_site", "wait", "wire")

    def __init__(self, site: Site, wire: Wire) -> None:
        self._site = site
        self._lingering = False  # all is said; what the client still sends is dropped
        self.wire = wire
        self.wait: Wait | None = None

    def sending(self) -> None:
        """Something waits for the client to read."""
        clocks = self._site.clocks
        if self.wait is not clocks.send:
            clocks.start(self, clocks.send, monotonic_ns())

    def progressed(self) -> None:
        clocks = self._site.clocks
        if self.wire.waiting:
            clocks.start(self, clocks.send, monotonic_ns())
        elif self._lingering:
            self.linger()
        elif self.wait is clocks.send:
            clocks.stop(self)

    def linger(self) -> None:
        """Close, but let the client read what it was sent."""
        self._lingering = True
        if self.wire.waiting:
            self.sending()
            return
        self.wire.end_output()
        self._site.clocks.start(self, self._site.clocks.linger, monotonic_ns())
        self.wire.resume()

    def cut(self) -> None:
        """Close at once."""
        self.wire.close()
        self.lost()

    def ended(self) -> None:
        self.cut()

    def lost(self) -> None:
        self._site.remove(self)
        self.wire.turn.need()  # its last request was booked, perhaps without a word to send

    def late(self, wait: Wait) -> None:
        self.cut()

    def drain(self) -> None:
        raise NotImplementedError
