# One client that speaks WebSocket: frames in and out, signs of life, how it closes.
#
# Rule 1: messages are read no faster than the application takes them.
# Rule 2: whoever closes first, a close frame is answered by a close frame, then the server ends the
# connection (RFC 6455, 7.1.1), and a client that does not go along is cut off in time.
# Rule 3: a draining worker closes with 1012, "service restart", upon which clients connect again.

from __future__ import annotations

import asyncio
from enum import Enum
from time import monotonic_ns

from bigtop.backends.asgi.conversation import INTERNAL_ERROR, Conversation
from bigtop.backends.asgi.site import Site
from bigtop.backends.asgi.wire import Wire
from bigtop.backends.deadlines import Wait
from bigtop.http.asgi import Peer
from bigtop.http.messages import Request
from bigtop.http.websocket import ABNORMAL, SERVICE_RESTART, Closed, Deflate, Handshake, Pong, Session


class Stage(Enum):
    ASKED = 1  # the application has to accept or to deny
    OPEN = 2
    CLOSING = 3  # our close frame is out, theirs is awaited
    LINGERING = 4  # all is said
    OVER = 5


ASKED, OPEN, CLOSING, LINGERING, OVER = Stage  # an enum's member costs a look-up each time it is named


class WebSocket:
    """The Owner of a wire after HTTP."""

    __slots__ = ("_early", "_session", "_site", "_stage", "_talk", "_vigil", "wait", "wire")

    def __init__(self, site: Site, wire: Wire, peer: Peer, request: Request, handshake: Handshake) -> None:
        self._site = site
        self._stage = ASKED
        self._early = b""  # came before the WebSocket was accepted
        self._session = Session(site.options.websocket.message)
        self._vigil: Vigil | None = None
        self.wire = wire
        self.wait: Wait | None = None
        self._talk = Conversation(site, self, peer, request, handshake)

    def open(self, rest: bytes) -> None:
        """Call the application. `rest` came behind the request."""
        self._early = rest
        self.wire.owner = self
        self.wire.resume()
        self._talk.start()

    # ---- the application's side

    @property
    def is_asked(self) -> bool:
        """Whether the application has not decided yet."""
        return self._stage is ASKED

    def accepted(self, deflate: Deflate | None) -> None:
        """The answer is out: frames from now on."""
        limits = self._site.options.websocket
        self._stage = OPEN
        self._session = Session(limits.message, deflate)
        if limits.ping_interval:
            self._vigil = Vigil(self, self._site.loop, limits.ping_interval, limits.ping_timeout)
        early, self._early = self._early, b""
        if early:
            self._feed(early)
        if self._site.draining:
            self.drain()
        self._regulate()

    def send(self, payload: str | bytes) -> None:
        self._write(self._session.message(payload))
        self._watch_sending()

    def ping(self, payload: bytes) -> None:
        self._write(self._session.ping(payload))

    def message_was_taken(self) -> None:
        self._regulate()

    def close(self, code: int, reason: str) -> None:
        """Begin to close, if that has not begun yet."""
        if self._stage is OPEN:
            self._stage = CLOSING
            self._talk.mailbox.close(code, reason)
            self._write(self._session.close(code, reason))
            self._stop_vigil()
            self._site.clocks.start(self, self._site.clocks.linger, monotonic_ns())
            self.wire.resume()

    def end(self) -> None:
        """Close, but let the client read what it was sent."""
        if self._stage is OVER or self._stage is LINGERING:
            return
        self._stage = LINGERING
        self._talk.mailbox.close(ABNORMAL, "")
        self._stop_vigil()
        self._site.clocks.start(self, self._site.clocks.linger, monotonic_ns())
        if not self.wire.waiting:
            self.wire.end_output()
        self.wire.resume()

    # ---- the client's side

    def received(self, data: bytes) -> None:
        self._site.ledger.received(len(data))
        if self._stage is ASKED:
            self._early += data
            self.wire.pause()
        elif self._stage is not LINGERING:
            self._feed(data)
            self._regulate()

    def _feed(self, data: bytes) -> None:
        session, mailbox = self._session, self._talk.mailbox
        events = session.feed(data)
        if session.out:
            self._write(session.take_out())
        for event in events:
            if isinstance(event, (str, bytes)):
                mailbox.put(event)
            elif isinstance(event, Pong):
                if self._vigil is not None:
                    self._vigil.answered()
            elif isinstance(event, Closed):
                mailbox.close(event.code, event.reason)
                self.end()

    def _regulate(self) -> None:
        if self._stage is OPEN:
            if self._talk.mailbox.is_full:
                self.wire.pause()
            else:
                self.wire.resume()

    @property
    def is_paused(self) -> bool:
        """Whether nothing is read, so that signs of life go unseen."""
        return self._talk.mailbox.is_full

    def progressed(self) -> None:
        clocks = self._site.clocks
        if self.wire.waiting:
            clocks.start(self, clocks.send, monotonic_ns())
        elif self._stage is LINGERING:
            clocks.start(self, clocks.linger, monotonic_ns())
            self.wire.end_output()
        elif self.wait is clocks.send:
            clocks.stop(self)

    def ended(self) -> None:
        self.cut()

    def lost(self) -> None:
        if self._stage is OVER:
            return
        asked, self._stage = self._stage is ASKED, OVER
        self._stop_vigil()
        self._talk.mailbox.close(ABNORMAL, "")
        if asked:
            self._talk.lost()
        self._site.remove(self)

    def late(self, wait: Wait) -> None:
        self.cut()

    def drain(self) -> None:
        self.close(SERVICE_RESTART, "")

    def cut(self) -> None:
        self.wire.close()
        self.lost()

    # ---- inside

    def _write(self, data: bytes) -> None:
        self._site.ledger.sent(len(data))
        self.wire.write(data)

    def _watch_sending(self) -> None:
        clocks = self._site.clocks
        if self.wire.waiting and self.wait is None:
            clocks.start(self, clocks.send, monotonic_ns())

    def _stop_vigil(self) -> None:
        if self._vigil is not None:
            self._vigil.stop()
            self._vigil = None


class Vigil:
    """Asks a client for signs of life: a ping every `interval` seconds, a pong within `timeout` (0: ever)."""

    __slots__ = ("_count", "_interval", "_loop", "_socket", "_timeout", "_timer")

    def __init__(
        self, socket: WebSocket, loop: asyncio.AbstractEventLoop, interval: float, timeout: float
    ) -> None:
        self._socket = socket
        self._loop = loop
        self._interval = interval
        self._timeout = timeout
        self._count = 0
        self._timer = loop.call_later(interval, self._ask)

    def _ask(self) -> None:
        self._count += 1
        self._timer = self._loop.call_later(self._timeout or self._interval, self._look)
        self._socket.ping(b"%d" % self._count)

    def answered(self) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_later(self._interval, self._ask)

    def _look(self) -> None:
        if self._timeout and not self._socket.is_paused:
            self._socket.close(INTERNAL_ERROR, "no pong came in time")
        else:
            self._ask()

    def stop(self) -> None:
        self._timer.cancel()
