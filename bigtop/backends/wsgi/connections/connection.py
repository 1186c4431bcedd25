# One client: its socket, where its conversation stands, and what was read and not yet used.
#
# Rule: only the leader touches it; the thread of an application call has its stream.
# Rule: one request at a time. What a client pipelines behind it stays in `_backlog`, at most one read's
# worth, because nothing is read while a request is answered. What comes next stands last there: a list that
# is used up from its end takes a tenth of the memory of a deque, for as long as a client is silent.

from __future__ import annotations

from contextlib import suppress
from enum import Enum
from io import BufferedReader, BytesIO
from typing import IO, Final, Protocol

from bigtop.backends.native.app_queues import READ, ProxiedAddresses
from bigtop.backends.native.timeouts import Wait
from bigtop.backends.native.transport.transport import Transport
from bigtop.backends.native.transport.write_buffer import ClientGone, Pause
from bigtop.backends.wsgi.body import Body
from bigtop.backends.wsgi.body_stream import BodyStream
from bigtop.backends.wsgi.call import Call
from bigtop.backends.wsgi.context import WorkerContext
from bigtop.backends.wsgi.stream import Stream
from bigtop.errors import ProtocolError
from bigtop.http.access_log.access_format import unread
from bigtop.http.engine import IDLE, Engine
from bigtop.http.interfaces.wsgi import Peer
from bigtop.http.messages import END, Event, Request, queued
from bigtop.http.paths.routes import RoutedEngine
from bigtop.http.response import CONTINUE
from bigtop.ipc.scoreboard import NOWHERE, RequestPhase, RequestRecord

NO_BODY: Final = BytesIO  # see clock.py
RECEIVE: Final = READ  # per recv(2): more would let one fast upload keep the others waiting


class ConnectionStage(Enum):
    READING = 1  # a request is awaited or arrives
    QUEUED = 2  # (parts of) further requests are here already and wait for their turn
    ANSWERING = 3  # a complete request waits for the application, is inside it, or its answer goes out
    LINGERING = 4  # all is said; what the client still sends is dropped, so that it can read the answer
    CLOSED = 5
    MULTIPLEXED = 6  # its client speaks HTTP/2: see http2/flow.py
    PASSED_ON = 7  # a request, and its body as it comes, goes to another server, and that one's answer comes


# By themselves: an enum's member costs a look-up each time it is named.
READING: Final[ConnectionStage] = ConnectionStage.READING
QUEUED: Final[ConnectionStage] = ConnectionStage.QUEUED
ANSWERING: Final[ConnectionStage] = ConnectionStage.ANSWERING
LINGERING: Final[ConnectionStage] = ConnectionStage.LINGERING
CLOSED: Final[ConnectionStage] = ConnectionStage.CLOSED
MULTIPLEXED: Final[ConnectionStage] = ConnectionStage.MULTIPLEXED
PASSED_ON: Final[ConnectionStage] = ConnectionStage.PASSED_ON


class PassedOn(Protocol):
    """The client of a request that another server answers."""

    def on_event(self, now: int) -> None:
        """Something can be read or sent, perhaps."""

    def late(self, wait: Wait, now: int) -> None:
        """The client is too slow."""

    def give_up(self, now: int) -> None:
        """The client gets nothing more."""


class Connection:
    """One client."""

    __slots__ = (  # noqa: RUF023 - by owner
        "_backlog", "_body", "asked", "engine", "fd", "context", "stream", "transport",
        "call", "interest", "passed_on", "place", "stage", "wait", "_shown",  # the loop's
    )  # fmt: skip

    def __init__(self, transport: Transport, peer: Peer, engine: Engine, context: WorkerContext) -> None:
        self.transport = transport
        self.fd = transport.fileno()
        self.engine = engine
        self.context = context
        self.stream = Stream(transport, peer, context.leader, context.bounds)  # of its answers
        self.asked: Request | None = None  # whether the body of this one is wanted
        self._body: Body | None = None  # of the request that arrives
        self._backlog: list[Event] = []
        self.stage = READING
        self.call: Call | None = None  # the request that is answered
        self.passed_on: PassedOn | None = None  # while another server answers
        self.interest = 0  # what epoll watches for; 0: not in its set
        self.wait: Wait | None = None  # the clock that runs
        self.place = NOWHERE  # on the scoreboard, before the application is called
        self._shown: object = None  # what is shown there

    @property
    def visitor(self) -> Peer:
        """Who is counted as connected."""
        return self.stream.peer

    @property
    def has_backlog(self) -> bool:
        """Whether there is something to do before reading again."""
        return bool(self._backlog) or self.engine.error is not None

    @property
    def stays(self) -> bool:
        """Whether another worker of the application could never go on with it."""
        return not self.transport.is_movable

    @property
    def is_movable(self) -> bool:
        """Whether the descriptor is all that there is of it: between two requests, nothing read."""
        return self.engine.phase is IDLE and not self.has_backlog and not self.stays

    @property
    def proxied(self) -> ProxiedAddresses | None:
        """What a PROXY header said about the client."""
        return None

    def is_too_slow(self, wait: Wait, now: int) -> bool:
        """Whether the client takes too long over the body that arrives (or over the head, if none does)."""
        if self._body is not None:
            return wait.is_too_slow(self._body.size, self._body.began, now)
        return self in wait.until and wait.is_too_slow(self.engine.spent, wait.until[self] - wait.length, now)

    def receive(self) -> int:
        """Read once; return the number of bytes, 0 when there are none yet. Raises ClientGone at the end."""
        transport = self.transport
        try:
            opening = transport.opening
            if opening is not None and not transport.open():
                if opening.owner >= 0 and isinstance(self.engine, RoutedEngine):
                    self.engine.leave_to(opening.owner)
                return 0
            if opening is not None and opening.is_http2:
                self.stage = MULTIPLEXED
                return 0
            data = transport.recv(RECEIVE)
        except BlockingIOError:
            return 0
        except ProtocolError as error:
            self.engine.error = error
            return 0
        except OSError as error:
            raise ClientGone from error
        if not data:
            raise ClientGone
        events = self.engine.feed(data)
        self._backlog = events if len(events) == 1 and not self._backlog else queued(self._backlog, events)
        return len(data)

    def last_look(self) -> int:
        """Read once where nothing came for too long; return the number of bytes."""
        try:
            return self.receive()
        except ClientGone:
            return 0

    def take(self, data: bytes) -> None:
        """Take bytes that another application's worker read."""
        self._backlog = queued(self._backlog, self.engine.feed(data))

    def next_request(self) -> tuple[Request, IO[bytes]] | None:
        """Use up what was read until a request is complete; return it with its body.

        Where there are handlers, one with a body is returned without that before. It is `asked` then whether
        that is wanted: the next call says so, or decline_rest() that it is not.

        Raises ProtocolError when the client broke HTTP, or sent a body for which there is no room.
        """
        backlog = self._backlog
        while backlog:
            event = backlog.pop()
            if isinstance(event, Request):
                if event.ended:
                    return event, NO_BODY()
                if self.asked is None and self._is_to_be_asked(event):
                    self.asked = event
                    backlog.append(event)
                    return event, NO_BODY()
                self.asked = None
                if (streamed := self._invite_body(event)) is not None:
                    return event, streamed
                continue
            body = self._body
            assert body is not None, "the engine sends a Request first"
            if event is END:
                self._body = None
                body.request.content_length = body.size
                return body.request, body.finish()
            body.add(event)
        if self.engine.error is not None:
            raise self.engine.error
        return None

    def decline_rest(self, request: Request) -> None:
        """Go on without what comes behind the head of `request`: its body, or another protocol."""
        backlog = self._backlog
        if request is self.asked:
            self.asked = None
            if END not in backlog:  # who reads on for nothing?
                request.keep_alive = False
            while backlog and backlog.pop() is not END:
                pass
        if request.upgrade is not None:
            request.keep_alive = False

    def show(self, phase: RequestPhase, now: int) -> None:
        """Show on the scoreboard a request that arrives in pieces, or waits for the application."""
        slot, body, call = self.context.slot, self._body, self.call
        what = body if phase is RequestPhase.READING else call
        if self.place == NOWHERE or self._shown is not what:
            self.hide()
            request, since = None, now
            if phase is RequestPhase.QUEUED and call is not None:
                request, since = call.request, call.readable
            elif body is not None:
                request, since = body.request, body.began
            method, path = (request.method.encode(), request.target) if request is not None else (b"", b"")
            self.place = slot.arrive(phase, since, method, self.stream.peer.label, path)
            self._shown = what
        if self.place != NOWHERE:
            slot.moved(self.place, body.size if body is not None else self.engine.spent)

    def hide(self) -> None:
        """Nothing arrives or waits any more."""
        if self.place != NOWHERE:
            self.context.slot.leave(self.place)
            self.place, self._shown = NOWHERE, None

    def unanswered(self) -> tuple[Request, int]:
        """Return the request that arrives, or what is known of it, and when its body began to come; 0: none
        did."""
        body = self._body
        return (unread(self.engine.line), 0) if body is None else (body.request, body.began)

    def next_piece(self, request: Request, wait: Pause) -> bytes | memoryview:
        """Wait for more of a body that is streamed; b"" at its end. For the call that has this connection.

        Raises ClientGone, and ProtocolError when the client broke HTTP.
        """
        backlog = self._backlog
        while not backlog:  # receive() makes another one
            if self.engine.error is not None:
                raise self.engine.error
            if request.expects_continue:
                request.expects_continue = False
                self._invite()
            if self.call is not None:  # the client's slowness is not the application's
                self.call.is_waiting()
            if not wait(self.fd, self.transport.read_event):
                raise ClientGone
            self.receive()
            backlog = self._backlog
        event = backlog.pop()
        assert not isinstance(event, Request), "the engine ends a body before it begins a request"
        return b"" if event is END else event

    @property
    def is_at_work(self) -> bool:
        """Whether threads of calls may be using it beside its stream."""
        return False

    def unbegun(self) -> list[RequestRecord]:
        """Return the requests that have arrived, or a part of them, and were not begun with."""
        body, call = self._body, self.call
        if body is not None:
            return [recorded(body.request, body.began, self.stream.peer)]
        if call is not None and not call.called:
            return [recorded(call.request, call.readable, self.stream.peer)]
        return []

    def close(self) -> None:
        self.stage = CLOSED
        self._backlog.clear()
        if self._body is not None:
            self._body.discard()
        self.transport.close()

    def _is_to_be_asked(self, request: Request) -> bool:
        """Whether handlers are asked before a body. Not for one that is broken, unless the application would
        be called before that shows."""
        if self.context.chain.handlers is None:
            return False
        streaming = self.context.streaming
        is_streamed = streaming is not None and streaming.wants(request)
        return is_streamed or self.engine.error is None or END in self._backlog

    def _invite_body(self, request: Request) -> IO[bytes] | None:
        """Let the body of `request` come; return it where the application reads it as it comes."""
        streaming, backlog = self.context.streaming, self._backlog
        if streaming is not None and streaming.wants(request) and END not in backlog:
            return BufferedReader(BodyStream(self.next_piece, request, streaming), RECEIVE)
        self._body = self.context.body_of(request)
        if request.expects_continue and not self.has_backlog:
            self._invite()
        return None

    def _invite(self) -> None:
        with suppress(OSError):  # a client that is gone is noticed by the next read
            self.transport.send(CONTINUE)


def recorded(request: Request, since: int, peer: Peer) -> RequestRecord:
    """Return a request that is not in the application yet as the scoreboard has those that are."""
    path = request.target.decode("latin-1")
    return RequestRecord(RequestPhase.NONE, since, 0, 0, request.method, peer.address, path, "")


class ProxiedConnection(Connection):
    """One whose client is named by a PROXY header, which other workers of the application cannot read."""

    __slots__ = ("_balancer", "_proxied")

    def __init__(self, transport: Transport, peer: Peer, engine: Engine, context: WorkerContext) -> None:
        super().__init__(transport, peer, engine, context)
        self._balancer = peer
        self._proxied = ProxiedAddresses(None, None)

    def learn(self, peer: Peer, proxied: ProxiedAddresses) -> None:
        """Take the client for what the header said."""
        self.stream.peer = peer
        self.engine.policy = peer.policy
        self._proxied = proxied

    @property
    def stays(self) -> bool:
        return True

    @property
    def visitor(self) -> Peer:
        return self._balancer

    @property
    def proxied(self) -> ProxiedAddresses | None:
        return self._proxied


def pass_on(connection: Connection, request: Request) -> None:
    """Let the body of `request` come; next_part() gives it out."""
    if request is connection.asked:
        connection.asked = None
        connection._backlog.pop()
        if request.expects_continue and not connection.has_backlog:
            connection._invite()
    if request.upgrade is not None:
        request.keep_alive = False  # what comes now might be of the other protocol


def next_part(connection: Connection) -> bytes | None:
    """Return what was read of the body, piece by piece, b"" at its end; None where nothing is.

    Raises ProtocolError when the client broke HTTP.
    """
    if not connection._backlog:
        if connection.engine.error is not None:
            raise connection.engine.error
        return None
    event = connection._backlog.pop()
    assert not isinstance(event, Request), "the engine ends a body before it begins a request"
    return b"" if event is END else bytes(event)
