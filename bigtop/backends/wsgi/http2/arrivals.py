# Arrivals on streams of HTTP/2: from the head of a request to its call, which is `ready` to run.
#
# Rule: leader only.

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from io import BufferedReader, BytesIO
from typing import Final

from bigtop.backends.native.app_queues import READ
from bigtop.backends.native.handlers.postponed import postponed
from bigtop.backends.native.transport.write_buffer import ClientGone
from bigtop.backends.wsgi.body_stream import BodyStream, Streaming
from bigtop.backends.wsgi.call import Call
from bigtop.backends.wsgi.connections.connections import PassingOn
from bigtop.backends.wsgi.executors.executor import Executor
from bigtop.backends.wsgi.http2.connection import MultiplexedConnection
from bigtop.backends.wsgi.http2.incoming import IncomingBody
from bigtop.backends.wsgi.http2.stream import Http2Stream
from bigtop.backends.wsgi.metrics import WsgiMetrics
from bigtop.backends.wsgi.request_flow import RequestFlow
from bigtop.errors import ProtocolError
from bigtop.http.h2.events import (
    StreamData,
    StreamEnded,
    StreamEvent,
    StreamRefused,
    StreamRequest,
    StreamReset,
)
from bigtop.http.h2.response_heads import CONTINUE, error_page
from bigtop.http.handlers import Postponed, Reply
from bigtop.http.messages import Request
from bigtop.http.paths.routes import elsewhere
from bigtop.ipc.scoreboard import NOWHERE, RequestPhase
from bigtop.log import logger as get_logger

log = get_logger("bigtop.wsgi")

QUEUED: Final = RequestPhase.QUEUED  # see executor.py
READING: Final = RequestPhase.READING
AT_ONCE: Final = 16  # calls of one connection in a turn: the others are behind those of other connections


class Arrivals:
    """Makes calls of what comes. `forget` is told of streams for which nothing was begun, `lose` of those
    whose client has left; `passing_on` has what other servers answer."""

    def __init__(
        self,
        flow: RequestFlow,
        executor: Executor,
        metrics: WsgiMetrics,
        forget: Callable[[Http2Stream], None],
        lose: Callable[[Http2Stream], None],
        passing_on: PassingOn | None,
    ) -> None:
        self._passing_on = passing_on
        self._flow = flow
        self._executor = executor
        self._metrics = metrics
        self._forget = forget
        self._lose = lose

    def take(self, connection: MultiplexedConnection, events: Sequence[StreamEvent], now: int) -> None:
        for event in events:
            if isinstance(event, StreamRequest):
                self._request(connection, event, now)
                continue
            stream = connection.streams.get(event.stream)
            if isinstance(event, StreamData):
                self._data(connection, stream, event)
            elif isinstance(event, StreamEnded):
                if stream is not None:
                    self._ended(connection, stream, now)
            elif isinstance(event, StreamReset):
                self._reset(stream, event)
            else:
                self._refused(connection, stream, event, now)

    # ---- a head

    def _request(self, connection: MultiplexedConnection, event: StreamRequest, now: int) -> None:
        request = event.request
        stream = Http2Stream(connection, connection.link, event.stream, request, now)
        connection.streams[event.stream] = stream
        routes, handlers = connection.routes, self._flow.handlers
        if routes is not None and (error := elsewhere(routes, request)) is not None:
            self.refuse(stream, error)
            return
        reply: Reply | None = None
        if handlers is not None:
            reply = handlers.handle(request, stream.peer, now)
            passing_on = self._passing_on
            if passing_on is not None and passing_on.takes_stream(stream, request, reply, now):
                return
            if type(reply) is Postponed:
                reply = postponed(request, reply)
        if reply is not None:
            stream.call = call = Call(stream.connection.context, stream, request, BytesIO(), now)
            self._flow.run(call, reply)
        elif request.ended:
            stream.call = Call(stream.connection.context, stream, request, BytesIO(), now)
            self._queue(connection, stream, now)
        else:
            self._await_body(connection, stream, now)

    def adopt(self, connection: MultiplexedConnection, request: Request, body: bytes, now: int) -> None:
        """Take the request of another worker's client, which is complete, and has been asked about there."""
        since = connection.progress.lent_at
        stream = connection.streams[1] = Http2Stream(connection, connection.link, 1, request, since)
        stream.call = Call(connection.context, stream, request, BytesIO(body), since)
        self._queue(connection, stream, now)

    def _queue(self, connection: MultiplexedConnection, stream: Http2Stream, now: int) -> None:
        progress = connection.progress
        if progress.ready < AT_ONCE:
            progress.ready += 1
            self._flow.ready.append(stream)
            if self._executor.has_slot or progress.lent_at:  # that is shown by who has the client
                return
        else:
            progress.queued.append(stream)
        _show(stream, QUEUED, now)

    # ---- a body

    def _await_body(self, connection: MultiplexedConnection, stream: Http2Stream, now: int) -> None:
        request, context = stream.request, stream.connection.context
        streaming = context.streaming
        if streaming is not None and streaming.wants(request):
            self._stream_body(stream, streaming, now)
            self._queue(connection, stream, now)
            return
        stream.body = context.body_of(request)
        _show(stream, READING, now)
        if request.expects_continue:
            with suppress(ClientGone):
                stream.link.interim(stream.number, CONTINUE)

    def _stream_body(self, stream: Http2Stream, streaming: Streaming, now: int) -> None:
        link, number, request = stream.link, stream.number, stream.request
        incoming = IncomingBody(
            partial(link.interim, number, CONTINUE),
            partial(link.consumed, number),
            stream.signal,
        )
        stream.incoming = incoming
        body = BufferedReader(BodyStream(incoming.next_piece, request, streaming), READ)
        stream.call = call = Call(stream.connection.context, stream, request, body, now)
        incoming.waits = call.is_waiting

    def _data(self, connection: MultiplexedConnection, stream: Http2Stream | None, event: StreamData) -> None:
        data = event.data
        if stream is not None and stream.incoming is not None:
            stream.incoming.add(data)  # the call says when it took that
            return
        body = None if stream is None else stream.body
        if stream is not None and body is not None:
            try:
                body.add(data)
            except ProtocolError as error:
                self.refuse(stream, error)
            if stream.place != NOWHERE:
                stream.connection.context.slot.moved(stream.place, body.size)
        connection.link.taken(event.stream, len(data))

    def _ended(self, connection: MultiplexedConnection, stream: Http2Stream, now: int) -> None:
        body, request = stream.body, stream.request
        request.ended = True
        if stream.incoming is not None:
            stream.incoming.end()
        elif body is not None:
            stream.hide()
            if request.content_length is None:  # the application is told of it as of one in chunks
                request.content_length, request.chunked = body.size, True
            stream.body = None
            stream.call = Call(stream.connection.context, stream, request, body.finish(), now)
            self._queue(connection, stream, now)

    # ---- what comes to nothing

    def _reset(self, stream: Http2Stream | None, event: StreamReset) -> None:
        if event.reason:
            log.debug("a stream of HTTP/2 is reset: %s", event.reason)
        if stream is not None:
            stream.is_reset = True
            self._lose(stream)

    def _refused(
        self, connection: MultiplexedConnection, stream: Http2Stream | None, event: StreamRefused, now: int
    ) -> None:
        if stream is not None and stream.incoming is not None:
            stream.incoming.lose(event.error)  # the call answers
            return
        request = event.request or Request("", b"")
        if event.request is None:
            request.version = "2"
        if stream is None:
            stream = Http2Stream(connection, connection.link, event.stream, request, now)
        if event.is_open:
            self.refuse(stream, event.error)
        else:
            self._metrics.refused(request, event.error.status, b"", stream.peer, now)
            self._forget(stream)

    def refuse(self, stream: Http2Stream, error: ProtocolError) -> None:
        """Answer with an error of the server's own."""
        request, link = stream.request, stream.link
        block, body = error_page(error, stream.connection.context.stamps.now(), request.method)
        with suppress(ClientGone):
            link.put(stream.number, block, body, ends=True, sends=False)
        self._metrics.refused(request, error.status, b"\r\n\r\n" + body, stream.peer, stream.opened)
        self._forget(stream)


def _show(stream: Http2Stream, phase: RequestPhase, now: int) -> None:
    """Show on the scoreboard a request whose body arrives, or that waits for the application."""
    request = stream.request
    stream.hide()
    slot, method = stream.connection.context.slot, request.method.encode()
    stream.place = slot.arrive(phase, now, method, stream.peer.label, request.target)
