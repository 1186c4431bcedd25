# Request to an upstream: performs what http/upstream/upstream_exchange.py decides, between a client and one
# connection.
#
# Rule 1: nothing here waits. What a client does not take stops the reading of the upstream, and what the
# upstream does not take stops the reading of the client.
# Rule 2: the client is told what went wrong in general, the log is told what it was.

from __future__ import annotations

import os
from typing import Final, Protocol

from bigtop.backends.native.timeouts import SECOND, Wait
from bigtop.backends.native.upstream.clocks import Clocks
from bigtop.backends.native.upstream.upstream_socket import UpstreamSocket
from bigtop.errors import ProtocolError
from bigtop.http.declarations import ProxyRoute
from bigtop.http.upstream.relayed_websocket import RelayedWebSocket
from bigtop.http.upstream.response_reader import ResponseEvent, ResponseHead
from bigtop.http.upstream.upstream_exchange import Loss, UpstreamExchange
from bigtop.log import logger as get_logger

log = get_logger("bigtop.proxy")

MOST_WAITING: Final = 262_144  # bytes of a body that the upstream has not taken, before the client waits

UNREACHABLE: Final = "The server behind this one cannot be reached."
IMPROPER: Final = "The server behind this one gave no proper answer."
LATE: Final = "The server behind this one did not answer in time."
BUSY: Final = "The server behind this one is busy."


class UpstreamClient(Protocol):
    """The client of a request, which each of the two servers has in its own way. Nothing here waits, or
    fails: a client that is gone calls abandon()."""

    def take(self, events: list[ResponseEvent]) -> None:
        """Send what came of the answer, END with the last of it."""

    def fail(self, error: ProtocolError) -> None:
        """Answer with an error; nothing of an answer was sent."""

    def break_off(self) -> None:
        """End the connection in the middle of an answer."""

    def switch(self, head: ResponseHead) -> None:
        """Send a 101; another protocol is spoken from then on, of which raw() is told."""

    def raw(self, data: bytes) -> None:
        """Send what came of the other protocol."""

    def raw_end(self) -> None:
        """Nothing more comes; end the connection when all is sent."""

    def is_full(self) -> bool:
        """Whether so much waits for the client that nothing more is to be read; it calls resume() later."""

    def wants_body(self) -> None:
        """The upstream takes more of what the client sends."""


class Pool(Protocol):
    """Where connections come from."""

    route: ProxyRoute
    clocks: Clocks

    def ask(self, request: UpstreamRequest, now: int) -> None:
        """Find a connection for a request, now or later: begin() or not_connected() follows."""

    def reconnect(self, connection: UpstreamConnection, request: UpstreamRequest, now: int) -> None:
        """Give up a connection that could not be made, and try the next address in its place."""

    def leave(self, request: UpstreamRequest, now: int) -> None:
        """A request that waits for a connection needs none any more."""

    def release(self, connection: UpstreamConnection, reusable: bool, now: int) -> None:
        """Take a connection back."""

    def drop(self, connection: UpstreamConnection) -> None:
        """Close an idle one."""


class UpstreamConnection:
    """One connection to an upstream, and the request that has it."""

    __slots__ = ("pool", "request", "socket", "wait", "was_used")

    def __init__(self, sock: UpstreamSocket, pool: Pool) -> None:
        self.socket = sock
        self.pool = pool
        self.request: UpstreamRequest | None = None
        self.was_used = False
        self.wait: Wait | None = None


class UpstreamRequest:
    """One request. `name` is for the log; `tried` counts the addresses that did not answer."""

    __slots__ = (
        "_connection", "_exchange", "_name", "_pool", "_relayed",
        "client", "fresh", "is_over", "reason", "tried", "wait",
    )  # fmt: skip

    def __init__(self, pool: Pool, exchange: UpstreamExchange, client: UpstreamClient, name: str) -> None:
        self._pool = pool
        self._exchange = exchange
        self.client = client
        self._name = name
        self._connection: UpstreamConnection | None = None
        self.fresh = not exchange.is_repeatable  # wants a connection that was not used before
        self._relayed: RelayedWebSocket | None = None  # once another protocol is spoken
        self.is_over = False
        self.tried = 0
        self.reason = ""  # why the last address did not answer
        self.wait: Wait | None = None  # for its turn

    def start(self, now: int) -> None:
        """Ask."""
        self._pool.ask(self, now)

    # ---- the client

    def body(self, piece: bytes, now: int) -> None:
        """Take a piece of the body, or of the other protocol."""
        if self.is_over or not piece:
            return
        relayed = self._relayed
        self._send(self._exchange.body(piece) if relayed is None else relayed.to_server(piece), now)

    def end_body(self, now: int) -> None:
        """The body is complete."""
        if not self.is_over and not self._exchange.is_sent:
            self._send(self._exchange.end_body(), now)

    @property
    def wants_more(self) -> bool:
        """Whether more of what the client sends can be taken now."""
        if self.is_over:
            return False
        if not self.is_tunnel and self._exchange.is_sent:
            return False
        connection = self._connection
        return not self._exchange.waits if connection is None else connection.socket.size < MOST_WAITING

    @property
    def is_tunnel(self) -> bool:
        """Whether another protocol is spoken."""
        return self._relayed is not None

    def part(self, now: int) -> None:
        """End another protocol, behind what is under way of it."""
        if self._relayed is not None and self._relayed.part() and not self.is_over:
            self._pass_on(self._relayed, b"", now)

    def resume(self, now: int) -> None:
        """The client has taken what waited."""
        if not self.is_over and self._connection is not None:
            self._settle(self._connection, now)

    def abandon(self, now: int) -> None:
        """The client is gone, or needs no answer any more."""
        if not self.is_over:
            self.is_over = True
            self._let_go(False, now)

    def _send(self, data: bytes, now: int) -> None:
        connection = self._connection
        if connection is not None:
            connection.socket.send(data)
            self._settle(connection, now)

    # ---- the pool

    def begin(self, connection: UpstreamConnection, now: int) -> None:
        """Go on with a connection, which may not be open yet."""
        self._pool.clocks.stop(self)
        self._connection = connection
        connection.request = self
        connection.socket.send(self._exchange.begin())
        if connection.socket.is_connecting:
            self._pool.clocks.start(connection, self._pool.clocks.connect, now)
            connection.socket.watch()
        else:
            self._opened(connection, now)

    def not_connected(self, reason: str, status: int = 502) -> None:
        """There is no connection for it."""
        self._pool.clocks.stop(self)
        self._answer(status, {502: UNREACHABLE, 503: BUSY, 504: LATE}[status], reason)

    # ---- events

    def on_event(self, now: int) -> None:
        """Something can be read or sent, perhaps."""
        connection = self._connection
        assert connection is not None, "a request without a connection has no events"
        sock = connection.socket
        if sock.is_connecting:
            try:
                if not sock.open():
                    return
            except OSError as error:
                self._not_open(connection, error.strerror or str(error), now)
                return
            self._opened(connection, now)
            return
        if sock.size and sock.flush() and sock.size < MOST_WAITING // 2:
            self.client.wants_body()  # of which the rest may be broken
        if not self.is_over and (not sock.reads or self._read(connection, now)):
            self._settle(connection, now)

    def late(self, wait: Wait, now: int) -> None:
        """A clock has run out."""
        clocks, seconds = self._pool.clocks, f"{wait.length / SECOND:g} s"
        connection = self._connection
        if connection is None:
            self.is_over = True
            self._pool.leave(self, now)
            self.not_connected(f"has no connection that is free within {seconds}", 503)
        elif wait is clocks.connect:
            self._not_open(connection, f"takes no connection within {seconds}", now, 504)
        else:
            self._lose(connection, f"sends nothing, and takes nothing, for {seconds}", now, 504)

    def _opened(self, connection: UpstreamConnection, now: int) -> None:
        self._exchange.opened()
        connection.socket.flush()
        self._settle(connection, now)
        self.client.wants_body()

    def _not_open(self, connection: UpstreamConnection, reason: str, now: int, status: int = 502) -> None:
        self.tried += 1
        self.reason = reason
        if status == 502:
            self._connection = connection.request = None
            self._pool.reconnect(connection, self, now)
        else:
            self._let_go(False, now)
            self.not_connected(reason, status)

    def _read(self, connection: UpstreamConnection, now: int) -> bool:
        """Read once; False when the connection is not this request's any more."""
        try:
            data = connection.socket.recv()
        except OSError as error:
            self._lose(connection, f"broke the connection: {error.strerror}", now)
            return False
        if data is None:
            return True
        if not data and self.is_tunnel:
            self._lose(connection, "has ended it", now)
            return False
        if self._relayed is not None:
            self._pass_on(self._relayed, data, now)
            return not self.is_over
        try:
            events = self._exchange.feed(data) if data else self._exchange.end()
        except ProtocolError as error:
            connection.was_used = connection.was_used and not data  # it would do the same again
            self._lose(connection, str(error), now)
            return False
        self._deliver(events, now)
        return not self.is_over

    def _deliver(self, events: list[ResponseEvent], now: int) -> None:
        exchange = self._exchange
        if exchange.is_switched:
            head = events.pop()
            assert isinstance(head, ResponseHead), "a switch is the last event"
            if events:
                self.client.take(events)
            if not self.is_over:
                self._relayed = relayed = RelayedWebSocket()
                self.client.switch(head)
                if (rest := exchange.take_rest()) and not self.is_over:
                    self._pass_on(relayed, rest, now)
            return
        if exchange.is_over:
            self.is_over = True
            self._let_go(exchange.is_reusable, now)
        if events:
            self.client.take(events)

    def _pass_on(self, relayed: RelayedWebSocket, data: bytes, now: int) -> None:
        """Send the client what came of the other protocol."""
        data, ends = relayed.to_client(data)
        self.client.raw(data)
        if ends and not self.is_over:
            self._send(relayed.farewell(os.urandom(4)), now)
            self.abandon(now)
            self.client.raw_end()

    def _settle(self, connection: UpstreamConnection, now: int) -> None:
        """Read or not, and by when something has to come."""
        sock, clocks = connection.socket, self._pool.clocks
        if sock.is_connecting:
            return
        sock.reads = not self.client.is_full()
        if self.is_tunnel:
            clocks.start(connection, clocks.tunnel, now)
        elif sock.size or (self._exchange.is_sent and sock.reads):
            clocks.start(connection, clocks.answer, now)
        else:
            clocks.stop(connection)  # who is slow is the client
        sock.watch()

    # ---- the end

    def _lose(self, connection: UpstreamConnection, reason: str, now: int, status: int = 502) -> None:
        """The connection is of no use any more; so may the answer be."""
        was_used = connection.was_used and status == 502
        loss = Loss.BREAK if self.is_tunnel else self._exchange.lost(was_used)
        self._let_go(False, now)
        if loss is Loss.RETRY:
            log.debug("%s: %s %s: asked again", self._name, self._pool.route.target, reason)
            self.fresh = True
            self._pool.ask(self, now)
        elif loss is Loss.ANSWER:
            self._answer(status, LATE if status == 504 else IMPROPER, reason)
        elif self.is_tunnel:
            self.is_over = True
            self.client.raw_end()
        else:
            self.is_over = True
            log.error("%s breaks off: upstream %s: %s", self._name, self._pool.route.target, reason)
            self.client.break_off()

    def _answer(self, status: int, text: str, reason: str) -> None:
        self.is_over = True
        target = self._pool.route.target
        log.error("%s is answered with %d: upstream %s: %s", self._name, status, target, reason)
        self.client.fail(ProtocolError(status, text))

    def _let_go(self, reusable: bool, now: int) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.request = None
            sock = connection.socket
            self._pool.release(connection, reusable and not (sock.size or sock.is_deaf), now)
        else:
            self._pool.leave(self, now)
