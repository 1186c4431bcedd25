# One client that speaks WebSocket: frames in and out, signs of life, how it closes.
#
# Rule 1: messages are read no faster than the application takes them.
# Rule 2: whoever closes first, a close frame is answered by a close frame, then the server ends the
# connection (RFC 6455, 7.1.1), and a client that does not go along is cut off in time.
# Rule 3: what the client said before it closed, or before it broke the protocol, comes first: the application
# can still answer that, as long as it keeps receiving.
# Rule 4: a draining worker closes with 1012, "service restart", upon which clients connect again: one after
# the other, since all at once would be too many for those who go on.

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from time import monotonic_ns
from typing import Final

from bigtop.backends.asgi.connections.buffered_transport import Duplex
from bigtop.backends.asgi.connections.client_connection import ClientConnection
from bigtop.backends.asgi.context import WorkerContext
from bigtop.backends.asgi.websockets.websocket_queue import MessageQueue
from bigtop.backends.native.farewells import Asks
from bigtop.backends.native.timeouts import LINGER
from bigtop.http.close_codes import ABNORMAL, INTERNAL_ERROR, SERVICE_RESTART
from bigtop.http.websocket import Closed, Deflate, Pong, Session
from bigtop.log import logger as get_logger

log = get_logger("bigtop.backend")

MOST_EARLY: Final = 65536  # bytes that a client may send before it is accepted


class WebSocketStage(Enum):
    ASKED = 1  # the application has to accept or to deny
    OPEN = 2
    CLOSING = 3  # a close frame is out, or a denial; the client has to understand
    OVER = 4


ASKED, OPEN, CLOSING, OVER = WebSocketStage  # an enum's member costs a look-up each time it is named


class WebSocket(ClientConnection):
    """The TransportOwner of a transport after HTTP. What the client says is in `messages`."""

    __slots__ = ("_early", "_farewell", "_on_lost", "_ping_timer", "_session", "_stage", "messages")

    def __init__(self, context: WorkerContext, transport: Duplex) -> None:
        super().__init__(context, transport)
        self._stage = ASKED
        self._early = b""  # came before the WebSocket was accepted
        self._session = Session(context.options.websocket.message)
        self._farewell: Closed | None = None  # the client's, which waits for the application: rule 3
        self._ping_timer: PingTimer | None = None
        self.messages = MessageQueue(context.loop, context.options.websocket.queue)
        self._on_lost: Callable[[], None] | None = None

    def open(self, rest: bytes, on_lost: Callable[[], None]) -> None:
        """Listen. `rest` came behind the request; `on_lost` is told when the client leaves before it is
        answered."""
        self._early = rest
        self._on_lost = on_lost
        self.transport.owner = self
        self.transport.resume()

    # ---- the application's side

    @property
    def is_asked(self) -> bool:
        """Whether the application has not decided yet."""
        return self._stage is ASKED

    def accepted(self, deflate: Deflate | None) -> None:
        """The answer is out: frames from now on."""
        limits = self._context.options.websocket
        self._stage = OPEN
        self._session = Session(limits.message, deflate)
        if limits.ping_interval:
            self._ping_timer = PingTimer(self, self._context.loop, limits.ping_interval, limits.ping_timeout)
        early, self._early = self._early, b""
        if early:
            self._feed(early)
        if self._context.draining:
            self.close(SERVICE_RESTART, "")
        self.regulate()

    def send(self, payload: str | bytes) -> None:
        self._write(self._session.message(payload))

    def ping(self, payload: bytes) -> None:
        self._write(self._session.ping(payload))

    def regulate(self) -> bool:
        """Read no faster than the application does; return whether anything is read now."""
        reads = self._stage is not OPEN or not self.messages.is_full
        if reads:
            self.transport.resume()
        else:
            self.transport.pause()
        return reads

    def close(self, code: int, reason: str) -> None:
        """Begin to close, if that has not begun yet."""
        if self._stage is OPEN:
            self._say_goodbye(code, reason)
            self._write(self._session.close(code, reason))
            if self._session.over:  # there will be no answer to that
                self.end()
                return
            self._context.timers.start(self, self._context.timers.linger, monotonic_ns())
            self.transport.resume()

    def caught_up(self) -> None:
        """The application knows all that the client said, or had time to. So close as the client did, or for
        what it did."""
        if (farewell := self._farewell) is not None:
            self._farewell = None
            self.messages.close(farewell.code, farewell.reason)
            self.close(farewell.code, farewell.reason)
            self.end()

    def end(self) -> None:
        """All is said, by both sides or to a client that was denied."""
        if self._stage is not OVER and not self._lingering:
            self._say_goodbye(ABNORMAL, "")
            self.linger()

    def _say_goodbye(self, code: int, reason: str) -> None:
        self._stage = CLOSING
        self.messages.close(code, reason)
        if self._ping_timer is not None:
            self._ping_timer.stop()

    # ---- the client's side

    def received(self, data: bytes) -> None:
        self._context.metrics.bytes_in += len(data)
        self.transport.turn.need()
        if self._stage is ASKED:
            # It may not send before it is accepted (RFC 6455, 4.1). Some do, and may leave all the same,
            # which nobody notices without reading.
            self._early += data
            if len(self._early) > MOST_EARLY:
                log.info("a WebSocket is closed: its client sends on and on before it was accepted")
                self.cut()
        elif not self._lingering:
            self._feed(data)
            self.regulate()

    def _feed(self, data: bytes) -> None:
        session, messages = self._session, self.messages
        events = session.feed(data)
        if session.out:
            self._write(session.take_out())
        for event in events:
            if isinstance(event, (str, bytes)):
                messages.put(event)
            elif isinstance(event, Pong):
                if self._ping_timer is not None:
                    self._ping_timer.answered()
            elif isinstance(event, Closed):
                self._farewell = event
                if self._stage is OPEN and messages.has_words:
                    self._context.loop.call_later(LINGER, self.caught_up)
                else:
                    self.caught_up()

    def lost(self) -> None:
        if self._stage is OVER:
            return
        if self._stage is ASKED and self._on_lost is not None:
            self._on_lost()
        if self._farewell is not None:
            self.messages.close(self._farewell.code, self._farewell.reason)
        self._say_goodbye(ABNORMAL, "")
        self._stage = OVER
        super().lost()

    def drain(self, asks: Asks) -> None:
        if self._stage is OPEN:
            asks.append(lambda: self.close(SERVICE_RESTART, ""))
        else:
            self.close(SERVICE_RESTART, "")

    def _write(self, data: bytes) -> None:
        self._context.metrics.bytes_out += len(data)
        self.transport.write(data)
        if self.transport.waiting:
            self.sending()


class PingTimer:
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
