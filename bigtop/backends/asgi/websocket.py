# One client that speaks WebSocket: frames in and out, signs of life, how it closes.
#
# Rule 1: messages are read no faster than the application takes them.
# Rule 2: whoever closes first, a close frame is answered by a close frame, then the server ends the
# connection (RFC 6455, 7.1.1), and a client that does not go along is cut off in time.
# Rule 3: what the client said before it closed, or before it broke the protocol, comes first: the application
# can still answer that, as long as it keeps receiving.
# Rule 4: a draining worker closes with 1012, "service restart", upon which clients connect again.

from __future__ import annotations

import asyncio
from enum import Enum
from time import monotonic_ns

from bigtop.backends.asgi.client import BaseClient
from bigtop.backends.asgi.conversation import INTERNAL_ERROR, Conversation
from bigtop.backends.asgi.site import Site
from bigtop.backends.asgi.wire import Wire
from bigtop.backends.deadlines import LINGER
from bigtop.http.messages import Request
from bigtop.http.scope import Peer
from bigtop.http.websocket import ABNORMAL, SERVICE_RESTART, Closed, Deflate, Pong, Session


class Stage(Enum):
    ASKED = 1  # the application has to accept or to deny
    OPEN = 2
    CLOSING = 3  # a close frame is out, or a denial; the client has to understand
    OVER = 4


ASKED, OPEN, CLOSING, OVER = Stage  # an enum's member costs a look-up each time it is named


class WebSocket(BaseClient):
    """The Owner of a wire after HTTP."""

    __slots__ = ("_early", "_farewell", "_session", "_stage", "_talk", "_vigil")

    def __init__(self, site: Site, wire: Wire, peer: Peer, request: Request) -> None:
        super().__init__(site, wire)
        self._stage = ASKED
        self._early = b""  # came before the WebSocket was accepted
        self._session = Session(site.options.websocket.message)
        self._farewell: Closed | None = None  # the client's, which waits for the application: rule 3
        self._vigil: Vigil | None = None
        self._talk = Conversation(site, self, peer, request)

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
        self.regulate()

    def send(self, payload: str | bytes) -> None:
        self._write(self._session.message(payload))

    def ping(self, payload: bytes) -> None:
        self._write(self._session.ping(payload))

    def regulate(self) -> bool:
        """Read no faster than the application does; return whether anything is read now."""
        reads = self._stage is not OPEN or not self._talk.mailbox.is_full
        if reads:
            self.wire.resume()
        else:
            self.wire.pause()
        return reads

    def close(self, code: int, reason: str) -> None:
        """Begin to close, if that has not begun yet."""
        if self._stage is OPEN:
            self._say_goodbye(code, reason)
            self._write(self._session.close(code, reason))
            if self._session.over:  # there will be no answer to that
                self.end()
                return
            self._site.clocks.start(self, self._site.clocks.linger, monotonic_ns())
            self.wire.resume()

    def caught_up(self) -> None:
        """The application knows all that the client said, or had time to. So close as the client did, or for
        what it did."""
        if (farewell := self._farewell) is not None:
            self._farewell = None
            self._talk.mailbox.close(farewell.code, farewell.reason)
            self.close(farewell.code, farewell.reason)
            self.end()

    def end(self) -> None:
        """All is said, by both sides or to a client that was denied."""
        if self._stage is not OVER and not self._lingering:
            self._say_goodbye(ABNORMAL, "")
            self.linger()

    def _say_goodbye(self, code: int, reason: str) -> None:
        self._stage = CLOSING
        self._talk.mailbox.close(code, reason)
        if self._vigil is not None:
            self._vigil.stop()

    # ---- the client's side

    def received(self, data: bytes) -> None:
        self._site.ledger.bytes_in += len(data)
        self.wire.turn.need()
        if self._stage is ASKED:
            self._early += data
            self.wire.pause()  # it may not send before it is accepted
        elif not self._lingering:
            self._feed(data)
            self.regulate()

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
                self._farewell = event
                if self._stage is OPEN and mailbox.has_words:
                    self._site.loop.call_later(LINGER, self.caught_up)
                else:
                    self.caught_up()

    def lost(self) -> None:
        if self._stage is OVER:
            return
        if self._stage is ASKED:
            self._talk.lost()
        if self._farewell is not None:
            self._talk.mailbox.close(self._farewell.code, self._farewell.reason)
        self._say_goodbye(ABNORMAL, "")
        self._stage = OVER
        super().lost()

    def drain(self) -> None:
        self.close(SERVICE_RESTART, "")

    def _write(self, data: bytes) -> None:
        self._site.ledger.sent(len(data))
        self.wire.write(data)
        if self.wire.waiting:
            self.sending()


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
        """A pong came."""
        self._timer.cancel()
        self._timer = self._loop.call_later(self._interval, self._ask)

    def _look(self) -> None:
        if self._timeout and self._socket.regulate():
            self._socket.close(INTERNAL_ERROR, "no pong came in time")
        else:
            self._ask()

    def stop(self) -> None:
        self._timer.cancel()
