# Connection whose client speaks HTTP/2: the streams that are open on it.
#
# Rule: only the leader touches it; threads of calls have their stream, and the link.

from __future__ import annotations

from collections import deque

from bigtop.backends.wsgi.connections.connection import CLOSED, MULTIPLEXED, Connection, recorded
from bigtop.backends.wsgi.http2.delegate import Delegate
from bigtop.backends.wsgi.http2.link import Link
from bigtop.backends.wsgi.http2.stream import Http2Stream
from bigtop.http.interfaces.wsgi import Peer
from bigtop.http.paths.routes import RoutedEngine, Routes
from bigtop.ipc.scoreboard import RequestRecord


class Progress:
    """What has been going on, and since when: monotonic nanoseconds, 0 for what is not."""

    __slots__ = (
        "blocked_at",
        "delegates",
        "head_at",
        "in_call",
        "is_draining",
        "lent_at",
        "moved_at",
        "paused",
        "queued",
        "ready",
        "sent",
        "spent",
        "turn",
    )

    def __init__(self) -> None:
        self.blocked_at = 0  # the socket takes nothing
        self.sent = 0  # bytes by then
        self.head_at = 0  # a head arrives
        self.moved_at: dict[int, int] = {}  # by streams that wait: something of them was taken
        self.is_draining = False
        self.turn = 0  # that of the loop in which a call ran last, by when it began
        self.spent = 0  # nanoseconds of it that calls took
        self.in_call = False  # one runs, or has lost the lead
        self.ready = 0  # streams that have their turn next, beside those of other connections
        self.queued: deque[Http2Stream] = deque()  # those behind them
        # By streams: who stands for the worker that runs the call; None for one that was given away in vain,
        # and stays. Of these, those of which nothing is taken before the client has taken more.
        self.delegates: dict[int, Delegate | None] = {}
        self.paused: dict[int, Delegate] = {}
        self.lent_at = 0  # since when the only request waits, if its client is another worker's

    def forget(self, stream: int) -> None:
        """It is over."""
        self.moved_at.pop(stream, None)
        if self.delegates:
            self.delegates.pop(stream, None)
            self.paused.pop(stream, None)


class MultiplexedConnection(Connection):
    """What becomes of a connection that was READING, in its place. `waiting` are those of `streams` of which
    something waits for the client's window."""

    __slots__ = ("_visitor", "link", "progress", "streams", "waiting")

    def __init__(self, before: Connection, link: Link) -> None:
        Connection.__init__(self, before.transport, before.stream.peer, before.engine, before.context)
        self.interest = before.interest
        self.stage = MULTIPLEXED
        self._visitor = before.visitor
        self.link = link
        self.streams: dict[int, Http2Stream] = {}
        self.waiting: dict[int, Http2Stream] = {}
        self.progress = Progress()

    @property
    def visitor(self) -> Peer:
        return self._visitor

    @property
    def routes(self) -> Routes | None:
        """Whose a request is; None where there is one application."""
        return self.engine.routes if isinstance(self.engine, RoutedEngine) else None

    @property
    def has_backlog(self) -> bool:
        return False

    @property
    def stays(self) -> bool:
        return True

    @property
    def is_movable(self) -> bool:
        return False

    @property
    def is_at_work(self) -> bool:
        calls = [stream.call for stream in self.streams.values()]
        return any(call is not None and call.called and not call.settled for call in calls)

    def unbegun(self) -> list[RequestRecord]:
        return [
            recorded(stream.request, stream.opened, stream.peer)
            for stream in self.streams.values()
            if (stream.call is None or not stream.call.called) and not self.is_elsewhere(stream)
        ]

    def is_elsewhere(self, stream: Http2Stream) -> bool:
        """Whether another worker has begun its call."""
        delegate = self.progress.delegates.get(stream.number)
        return delegate is not None and delegate.has_begun

    def close(self) -> None:
        self.stage = CLOSED
        self.link.close()
