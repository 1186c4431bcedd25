# One client: its socket, where its conversation stands, and what was read and not yet used.
#
# Rule: only the leader touches it; the thread of an application call uses `socket` and `outbox` alone.
# Rule: one request at a time. What a client pipelines behind it stays in `_backlog`, at most one read's
# worth, because nothing is read while a request is answered.

from __future__ import annotations

import logging
import socket
from collections import deque
from contextlib import suppress
from enum import Enum
from io import BufferedReader, BytesIO
from typing import IO, TYPE_CHECKING, ClassVar, Final

from bigtop.backends.outbox import ClientGone, Outbox, Pause
from bigtop.backends.transfer import READ, Said
from bigtop.backends.wsgi.body import Body
from bigtop.backends.wsgi.stream import Stream
from bigtop.errors import ProtocolError
from bigtop.http.engine import ELSEWHERE, IDLE, Engine
from bigtop.http.messages import END, Event, Request
from bigtop.http.response import CONTINUE
from bigtop.http.wsgi import Peer

if TYPE_CHECKING:
    from bigtop.backends.deadlines import Wait
    from bigtop.backends.wsgi.call import Call
    from bigtop.backends.wsgi.site import Site

log = logging.getLogger("bigtop.wsgi")

NO_BODY: Final = BytesIO  # see clock.py
RECEIVE: Final = READ  # per recv(2): more would let one fast upload keep the others waiting


class Stage(Enum):
    READING = 1  # a request is awaited or arrives
    QUEUED = 2  # (parts of) further requests are here already and wait for their turn
    ANSWERING = 3  # a complete request waits for the application, is inside it, or its answer goes out
    LINGERING = 4  # all is said; what the client still sends is dropped, so that it can read the answer
    CLOSED = 5


# By themselves: an enum's member costs a look-up each time it is named.
READING: Final[Stage] = Stage.READING
QUEUED: Final[Stage] = Stage.QUEUED
ANSWERING: Final[Stage] = Stage.ANSWERING
LINGERING: Final[Stage] = Stage.LINGERING
CLOSED: Final[Stage] = Stage.CLOSED


class Connection:
    """One client."""

    __slots__ = (  # noqa: RUF023 - by owner
        "_backlog", "_body", "engine", "fd", "peer", "site", "socket",
        "call", "interest", "outbox", "stage", "wait",  # the loop's
    )  # fmt: skip

    stays: ClassVar[bool] = False  # True where another process could not rebuild it: TLS, a PROXY header

    def __init__(self, sock: socket.socket, peer: Peer, engine: Engine, site: Site) -> None:
        self.socket = sock
        self.fd = sock.fileno()
        self.peer = peer
        self.engine = engine
        self.site = site
        self._body: Body | None = None  # of the request that arrives
        self._backlog: deque[Event] = deque()
        self.stage = READING
        self.call: Call | None = None  # the request that is answered
        self.outbox: Outbox | None = None  # made when the client takes less than there is
        self.interest = 0  # what epoll watches for; 0: not in its set
        self.wait: Wait | None = None  # the clock that runs

    @property
    def visitor(self) -> Peer:
        """Who is counted as connected."""
        return self.peer

    @property
    def has_backlog(self) -> bool:
        """Whether there is something to do before reading again."""
        return bool(self._backlog) or self.engine.error is not None

    @property
    def is_movable(self) -> bool:
        """Whether the descriptor is all that there is of it: between two requests, nothing read."""
        return self.engine.phase is IDLE and not self.has_backlog and not self.stays

    @property
    def is_elsewhere(self) -> bool:
        """Whether all that is left to do is another application's."""
        return self.engine.phase is ELSEWHERE and not self._backlog

    @property
    def said(self) -> Said | None:
        """What a PROXY header said about the client."""
        return None

    def is_too_slow(self, wait: Wait, now: int) -> bool:
        """Whether the client takes too long over the body that arrives (or over the head, if none does)."""
        if self._body is not None:
            return wait.is_too_slow(self._body.size, self._body.began, now)
        return self in wait.until and wait.is_too_slow(self.engine.spent, wait.until[self] - wait.length, now)

    def receive(self) -> int:
        """Read once; return the number of bytes, 0 when there are none yet. Raises ClientGone at the end."""
        try:
            data = self.socket.recv(RECEIVE)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise ClientGone from error
        if not data:
            raise ClientGone
        events = self.engine.feed(data)
        if len(events) == 1:
            self._backlog.append(events[0])
        else:
            self._backlog += events
        return len(data)

    def take(self, data: bytes) -> None:
        """Take bytes that another application's worker read."""
        self._backlog += self.engine.feed(data)

    def peek(self) -> bytes:
        """Return what could be read. Raises ClientGone."""
        try:
            return self.socket.recv(RECEIVE, socket.MSG_PEEK)
        except OSError as error:
            raise ClientGone from error

    def next_request(self) -> tuple[Request, IO[bytes]] | None:
        """Use up what was read until a request is complete; return it with its body.

        Raises ProtocolError when the client broke HTTP, or sent a body for which there is no room.
        """
        backlog = self._backlog
        while backlog:
            event = backlog.popleft()
            if isinstance(event, Request):
                if event.ended:
                    return event, NO_BODY()
                streaming = self.site.streaming
                if streaming is not None and streaming.wants(event) and END not in backlog:
                    return event, BufferedReader(Stream(self, event, streaming), RECEIVE)
                self._body = self.site.body_of(event)
                if event.expects_continue and not self.has_backlog:
                    self._invite()
                continue
            body = self._body
            assert body is not None, "the engine sends a Request first"
            if event is END:
                self._body = None
                body.request.content_length = body.size
                return body.request, body.finish()
            self._store(body, event)
        if self.engine.error is not None:
            raise self.engine.error
        return None

    def next_piece(self, request: Request, wait: Pause) -> bytes:
        """Wait for more of a body that is streamed; b"" at its end. For the call that has this connection.

        Raises ClientGone, and ProtocolError when the client broke HTTP.
        """
        backlog = self._backlog
        while not backlog:
            if self.engine.error is not None:
                raise self.engine.error
            if request.expects_continue:
                request.expects_continue = False
                self._invite()
            if self.call is not None:  # the client's slowness is not the application's
                self.site.slot.writing(self.call.record)
            if not wait(self.socket):
                raise ClientGone
            self.receive()
        event = backlog.popleft()
        assert not isinstance(event, Request), "the engine ends a body before it begins a request"
        return b"" if event is END else event

    def drop_input(self) -> int:
        """Read once and forget it; return as receive() does."""
        try:
            size = len(self.socket.recv(RECEIVE))
        except BlockingIOError:
            return 0
        except OSError as error:
            raise ClientGone from error
        if not size:
            raise ClientGone
        return size

    def close(self) -> None:
        self.stage = CLOSED
        self._backlog.clear()
        if self._body is not None:
            self._body.discard()
        self.socket.close()

    def _invite(self) -> None:
        with suppress(OSError):  # a client that is gone is noticed by the next read
            self.socket.send(CONTINUE)

    def _store(self, body: Body, piece: bytes) -> None:
        try:
            body.add(piece)
        except OSError as error:
            log.error("cannot store the body of a request: %s", error)
            raise ProtocolError(507, "there is no room for the body") from error


class ProxiedConnection(Connection):
    """One whose client is named by a PROXY header, which other workers of the application cannot read."""

    __slots__ = ("_balancer", "_said")
    stays = True

    def __init__(self, sock: socket.socket, peer: Peer, engine: Engine, site: Site) -> None:
        super().__init__(sock, peer, engine, site)
        self._balancer = peer
        self._said = Said(None, None)

    def learn(self, peer: Peer, said: Said) -> None:
        """Take the client for what the header said."""
        self.peer = peer
        self._said = said

    @property
    def visitor(self) -> Peer:
        return self._balancer

    @property
    def said(self) -> Said | None:
        return self._said
