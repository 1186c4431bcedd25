# Flow of the streams of HTTP/2: what request_flow.py is to connections of HTTP/1.1. To run calls it leaves to
# that.
#
# Rule: leader only. What was read is looked at to its end before any call runs: they wait in `ready`.

from __future__ import annotations

import select
from time import monotonic_ns
from typing import Final

from bigtop.backends.native.timeouts import Timeouts, Wait
from bigtop.backends.native.transport.write_buffer import ClientGone
from bigtop.backends.wsgi.call import Call
from bigtop.backends.wsgi.connections.connection import MULTIPLEXED, Connection
from bigtop.backends.wsgi.connections.connections import Connections
from bigtop.backends.wsgi.connections.multiplexing import Multiplexing
from bigtop.backends.wsgi.executors.executor import KEPT, LOST, Executor, Lead
from bigtop.backends.wsgi.http2.arrivals import Arrivals
from bigtop.backends.wsgi.http2.client_link import Http2Link
from bigtop.backends.wsgi.http2.connection import MultiplexedConnection, Progress
from bigtop.backends.wsgi.http2.delegation.delegation import (
    Delegation,
    DelegationQueues,
    StreamCalls,
    abandon,
    begin,
    resume,
)
from bigtop.backends.wsgi.http2.outflow import Outflow
from bigtop.backends.wsgi.http2.stream import Http2Stream
from bigtop.backends.wsgi.metrics import WsgiMetrics
from bigtop.backends.wsgi.request_flow import RequestFlow
from bigtop.backends.wsgi.stream import Stream
from bigtop.errors import ProtocolError
from bigtop.http.engine import HEAD, Phase
from bigtop.http.h2.connection import Http2Connection
from bigtop.http.h2.error_codes import CANCEL
from bigtop.http.h2.limits import FRAMES_AT_ONCE
from bigtop.log import logger as get_logger

log = get_logger("bigtop.wsgi")

EPOLLIN: Final[int] = select.EPOLLIN  # see clock.py
EPOLLOUT: Final[int] = select.EPOLLOUT
LEFT: Final = 499  # nginx's status of a request whose client left before it was answered
SHARE: Final = (
    2_000_000  # nanoseconds of a turn for calls of one connection, but for the one that takes longer
)


class Http2Flow(Multiplexing):
    """The streams of all connections of a worker."""

    def __init__(
        self,
        flow: RequestFlow,
        connections: Connections,
        executor: Executor,
        metrics: WsgiMetrics,
        queues: DelegationQueues,
    ) -> None:
        self._flow = flow
        self._bell = executor.bell
        self._connections = connections
        self._timeouts = connections.timeouts
        self._metrics = metrics
        self._outflow = Outflow(connections.timeouts.send, metrics, self._emptied, self.lose_stream)
        passing_on = connections.passing_on
        self._arrivals = Arrivals(flow, executor, metrics, self.forget, self.lose_stream, passing_on)
        flow.delegating = Delegation(
            queues, StreamCalls(flow.ready, executor, connections, self._arrivals), self
        )

    # ---- what the client says

    def begin(self, before: Connection, data: bytes, now: int) -> None:
        if data and (before.stream.written or not before.stream.peer.policy.trusted):
            self._connections.refuse(before, ProtocolError(505, "HTTP/2 is not spoken with this client here"))
            return
        self._timeouts.stop(before)
        before.hide()
        context, policy = before.context, before.stream.peer.policy
        spoken = Http2Connection(context.limits, context.limits.http2, policy, websockets=False, now=now)
        link = Http2Link(before.transport, spoken)
        connection = MultiplexedConnection(before, link)
        self._connections.table[connection.fd] = connection
        if data:
            self._arrivals.take(connection, spoken.feed(data, now, FRAMES_AT_ONCE), now)
        if self._flow.draining:
            self.drain(connection, now)
        else:
            self.go_on(connection, now)

    def on_event(self, connection: Connection, mask: int, now: int) -> None:
        assert isinstance(connection, MultiplexedConnection)
        link = connection.link
        if mask != EPOLLOUT or connection.transport.read_event == EPOLLOUT or link.has_more:
            try:
                events = link.receive(now)
            except ClientGone:
                self.lose(connection)
                return
            self._metrics.bytes_in += link.came
            if events:
                self._arrivals.take(connection, events, now)
        self.go_on(connection, now)

    def go_on(self, connection: MultiplexedConnection, now: int) -> None:
        """Send what can be sent, and wait for what comes next."""
        if connection.stage is not MULTIPLEXED:
            return  # it has ended meanwhile
        link = connection.link
        all_sent = self._outflow.pump(connection, now)
        if connection.progress.paused:
            resume(connection.progress)
        if link.error is not None:
            self._end(connection)
            return
        if all_sent:
            connection.progress.blocked_at = 0
            if link.is_over:
                self._end(connection)
                return
            if not (self._timeouts.keeps or connection.streams or connection.progress.is_draining):
                self.drain(connection, now)
                return
        elif not connection.progress.blocked_at or connection.progress.sent != link.sent:
            connection.progress.blocked_at, connection.progress.sent = now, link.sent
        reads = 0 if link.is_choked else EPOLLIN
        # What was read and not looked at comes next, as if the client had just taken something.
        goes_on = reads and all_sent and not link.has_more
        self._connections.watch(connection, reads if goes_on else reads | EPOLLOUT)
        _clock(self._timeouts, connection, link.phase, now)

    # ---- calls

    def run(self, stream: Stream, turn: int) -> Lead:
        assert isinstance(stream, Http2Stream)
        connection = _of(stream)
        progress = connection.progress
        if progress.turn != turn:
            progress.turn = turn
            progress.spent = SHARE if progress.in_call else 0  # that one lasts
            progress.in_call = False
        if progress.spent >= SHARE:
            self._flow.ready.append(stream)
            return KEPT
        self.next_turn(progress)
        call = stream.call
        if call is None:
            return KEPT
        stream.hide()
        if call.unclosed is None and stream.is_lost:
            self._give_up(stream)
            return KEPT
        if progress.lent_at:
            begin(connection)
        if progress.lent_at or self._flow.ready:
            self._bell.hurries = self._bell.is_seldom
        began = monotonic_ns()
        progress.in_call = True
        lead = self._flow.run(call)
        if lead is not LOST:
            progress.in_call = False
            progress.spent += monotonic_ns() - began
        return lead

    def next_turn(self, progress: Progress) -> None:
        """One has had its turn: another one of its connection is behind all others."""
        progress.ready -= 1
        while progress.queued:
            stream = progress.queued.popleft()
            if stream.call is not None:
                progress.ready += 1
                self._flow.ready.append(stream)
                return

    def _give_up(self, stream: Http2Stream) -> None:
        """Its client has left before the application was called."""
        stream.is_reset = True
        if not _of(stream).progress.lent_at:  # who has the client tells of it
            self._metrics.refused(stream.request, LEFT, b"", stream.peer, stream.opened)
        self.forget(stream)

    def forget(self, stream: Http2Stream) -> None:
        """Nobody waits for the answer, and nothing was begun for it."""
        call = stream.call
        if call is not None:
            call.discard()
        self._remove(stream)

    def handed_over(self, call: Call, now: int) -> None:
        stream = call.stream
        assert isinstance(stream, Http2Stream)
        write_buffer = stream.write_buffer
        if write_buffer is not None and write_buffer.size:
            self._metrics.held_up(call, write_buffer.size)
            self._outflow.wait_for(_of(stream), stream, now)
        elif self._answered(stream, call, now):
            self.go_on(_of(stream), now)

    def blocked(self, stream: Stream, now: int) -> None:
        assert isinstance(stream, Http2Stream)
        connection = _of(stream)
        if stream.call is not None and stream.waits:
            self._outflow.wait_for(_of(stream), stream, now)
        self.go_on(connection, now)

    def _answered(self, stream: Http2Stream, call: Call, now: int) -> bool:
        """The whole answer is on its way, or never will be; return whether the connection has to go on."""
        if call.unclosed is not None:
            _of(stream).progress.ready += 1
            self._flow.ready.append(stream)  # to close it is the application's code, and takes a slot
            return False
        self._metrics.answered(call, now)
        call.environ = call.exchange.wire = None
        return self._remove(stream)

    def _remove(self, stream: Http2Stream) -> bool:
        """Forget a stream; return whether the connection has to go on by that."""
        connection = _of(stream)
        connection.waiting.pop(stream.number, None)
        connection.progress.forget(stream.number)
        connection.streams.pop(stream.number, None)
        tells = stream.close()
        is_last = not connection.streams and (connection.progress.is_draining or not self._timeouts.keeps)
        return tells or is_last

    def _emptied(self, stream: Http2Stream, now: int) -> None:
        """Nothing of an answer waits any more."""
        call = stream.call
        if call is not None and call.settled:
            self._answered(stream, call, now)

    def lose_stream(self, stream: Http2Stream) -> None:
        """The client of an answer has given it up, or is too slow."""
        call = stream.call
        _of(stream).waiting.pop(stream.number, None)
        if not stream.is_lost:
            stream.link.reset(stream.number, CANCEL)
        if abandon(_of(stream).progress, stream):
            self.forget(stream)
        elif call is None or not call.called:
            self._give_up(stream)
        else:
            stream.abandon()
            if call.settled:
                self._answered(stream, call, monotonic_ns())

    # ---- time, and the end

    def expired(self, connection: Connection, wait: Wait, now: int) -> None:
        assert isinstance(connection, MultiplexedConnection)
        if wait is not self._timeouts.look:
            self.drain(connection, now)
            return
        timeouts, send = self._timeouts, self._timeouts.send.length
        if send and connection.progress.blocked_at and now - connection.progress.blocked_at >= send:
            self.lose(connection)
            return
        if connection.progress.head_at and 0 < timeouts.head.length <= now - connection.progress.head_at:
            self._end(connection)
            return
        self._outflow.lose_late(connection, now)
        self._arrivals.take(connection, connection.link.expire(now), now)
        self.go_on(connection, now)  # with a clock that runs again

    def drain(self, connection: Connection, now: int) -> None:
        assert isinstance(connection, MultiplexedConnection)
        if not connection.progress.is_draining:
            connection.progress.is_draining = True
            connection.link.drain(now)
        self.go_on(connection, now)

    def lose(self, connection: Connection) -> None:
        """The client is gone."""
        assert isinstance(connection, MultiplexedConnection)
        connection.link.give_up()
        self._connections.close(connection)
        for stream in list(connection.streams.values()):
            self.lose_stream(stream)

    def _end(self, connection: MultiplexedConnection) -> None:
        """Close, but let the client read what it was sent. What it still waits for will not come."""
        if (error := connection.link.error) is not None:
            log.debug("%s: the connection ends: %s", connection.stream.peer.address, error)
        connection.link.give_up()
        for stream in list(connection.streams.values()):
            self.lose_stream(stream)
        if connection.progress.lent_at:
            self._connections.close(connection)  # all that was sent is with the other worker
        else:
            self._connections.part(connection)

    def cut_off(self, connection: Connection) -> None:
        assert isinstance(connection, MultiplexedConnection)
        for stream in list(connection.streams.values()):
            if connection.is_elsewhere(stream) or (stream.call is not None and stream.call.called):
                self.lose_stream(stream)


def _of(stream: Http2Stream) -> MultiplexedConnection:
    connection = stream.connection
    assert isinstance(connection, MultiplexedConnection)
    return connection


def _clock(timeouts: Timeouts[Connection], connection: MultiplexedConnection, phase: Phase, now: int) -> None:
    """While something is under way it is looked after each second; who only waits has a time for that."""
    connection.progress.head_at = (connection.progress.head_at or now) if phase is HEAD else 0
    if connection.wait is timeouts.look:
        return  # what it is to wait for then is seen when that is over
    if (
        connection.streams
        or connection.progress.blocked_at
        or connection.progress.head_at
        or connection.progress.is_draining
    ):
        timeouts.start(connection, timeouts.look, now)
    elif connection.wait is not timeouts.idle or not timeouts.idle.is_fresh(connection, now):
        timeouts.start(connection, timeouts.idle, now)
