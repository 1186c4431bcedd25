# Requests of an HTTP/2 connection: what frames mean for streams, and what of it is told.
#
# Rule 1: what we do because of a client's fault is counted like what it does by itself: a client that makes
# us reset its streams is no better than one that resets them (CVE-2025-8671, CVE-2023-44487).
# Rule 2: a stream takes up a place until its call is over (release()), whatever became of it.

from __future__ import annotations

from typing import Final

from bigtop.errors import ProtocolError
from bigtop.http.h2.budget import Budgets
from bigtop.http.h2.error_codes import (
    CANCEL,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
    StreamError,
)
from bigtop.http.h2.events import (
    StreamData,
    StreamEnded,
    StreamEvent,
    StreamRefused,
    StreamRequest,
    StreamReset,
)
from bigtop.http.h2.frames import LAST_STREAM, rst_stream
from bigtop.http.h2.limits import Http2Limits
from bigtop.http.h2.request_heads import Block
from bigtop.http.h2.streams.credit import Credit
from bigtop.http.h2.streams.output import Output
from bigtop.http.h2.streams.registry import Streams
from bigtop.http.h2.streams.stream import NONE, OVER, RUNS, UNKNOWN, Stream
from bigtop.http.limits import Limits
from bigtop.http.messages import Request
from bigtop.http.paths.body_limits import body_limit
from bigtop.http.policy import Policy

_SMALL: Final = 64  # bytes of a body in one frame that are too few to be worth it


class Requests:
    """`events` are what is to be told; `last` is the last stream that is let in. `now` is that of the bytes
    that are looked at."""

    __slots__ = (
        "_budgets", "_h2", "_limits", "_output", "_policy", "_websockets",
        "count", "credit", "events", "last", "now", "streams",
    )  # fmt: skip

    def __init__(
        self,
        limits: Limits,
        h2: Http2Limits,
        policy: Policy | None,
        websockets: bool,
        output: Output,
        now: int,
    ) -> None:
        self._limits = limits
        self._h2 = h2
        self._policy = policy
        self._websockets = websockets
        self._output = output
        self._budgets = Budgets(h2, now)
        self.credit = Credit(h2, output)
        self.streams = Streams()
        self.events: list[StreamEvent] = []
        self.last = LAST_STREAM
        self.now = now
        self.count = 0

    def count_control(self) -> None:
        """Count a frame that brings nothing."""
        self._budgets.count_control(self.now)

    def _count_small(self, stream: Stream | None, piece: bytes) -> None:
        if not piece:
            self.count_control()
        elif stream is None or not stream.is_websocket:
            self._budgets.count_small(self.now)

    def _count_reset(self) -> None:
        self._budgets.count_reset(self.now)

    # ---- heads

    def begin(self, number: int, block: Block, *, ended: bool, fault: StreamError | None) -> None:
        """A head came, of a new stream. `fault` is what is wrong with its frame."""
        streams = self.streams
        streams.begin(number)
        if number > self.last or len(streams.open) >= self._h2.streams:
            streams.ended(number)
            self._output.control(rst_stream(number, REFUSED_STREAM))
            if number <= self.last:
                self._count_reset()
            return
        stream = Stream(number, self._output.initial, self._h2.stream_window, block.priority)
        stream.open_in = not ended
        error = block.error if fault is None else fault
        request = None
        if error is None:
            request = stream.request = block.request(ended=ended)
            error = self._fault(stream, block, request)
        streams.add(stream)
        self.count += 1
        if error is None and request is not None:
            stream.call = RUNS
            self.events.append(StreamRequest(number, request))
        elif isinstance(error, ProtocolError):
            self.refuse(stream, error)
        elif error is not None:
            self.fail(stream, error)

    def _fault(self, stream: Stream, block: Block, request: Request) -> ProtocolError | StreamError | None:
        """Return what is wrong with a request, None if nothing is."""
        length = block.content_length
        if length is not None:
            if not stream.open_in:
                if length:
                    return StreamError(PROTOCOL_ERROR, "the body is shorter than its content-length")
            elif too_long := _too_long(self._limits, request, length):
                return too_long
            else:
                stream.expected = length
        if block.protocol:
            if not self._websockets:
                return StreamError(PROTOCOL_ERROR, "a :protocol was not offered")
            if not stream.open_in:
                return StreamError(PROTOCOL_ERROR, "a WebSocket ends with its head")
        policy = self._policy
        if policy is not None and block.fields.passed is not policy:
            return _checked(policy, request)
        return None

    def trailers(self, stream: Stream, block: Block, *, ended: bool) -> None:
        """A head came of a stream that there is."""
        if stream.gone:
            return
        if not stream.open_in:
            raise StreamError(STREAM_CLOSED, "a head comes behind the end of the stream")
        if not ended:
            raise StreamError(PROTOCOL_ERROR, "a second head does not end the stream")
        if stream.is_websocket:
            raise StreamError(PROTOCOL_ERROR, "a WebSocket has no trailers")
        if isinstance(block.error, StreamError):
            raise block.error
        if block.error is not None and not stream.refused:
            self.refuse(stream, block.error)
        self._end(stream)

    # ---- bodies

    def data(self, stream: Stream | None, piece: bytes, size: int, *, ended: bool) -> None:
        """DATA came, of `size` bytes with its padding; of a stream that is not open if it is None."""
        credit = self.credit
        credit.spend(size)
        if len(piece) < _SMALL and not ended:
            self._count_small(stream, piece)
        if stream is None or stream.gone:
            credit.owe(size)
            return
        if not stream.open_in:
            credit.owe(size)
            raise StreamError(STREAM_CLOSED, "DATA comes behind the end of the stream")
        if stream.refused:
            credit.owe(size)
            credit.spend_of(stream, size)
        else:
            credit.owe(size - len(piece))
            stream.untaken += len(piece)
            credit.spend_of(stream, size)
            if piece:
                self._take(stream, len(piece))
                if not stream.refused and not stream.gone:
                    self.events.append(StreamData(stream.number, piece))
        if ended:
            self._end(stream)

    def _take(self, stream: Stream, size: int) -> None:
        """Count bytes of a body; StreamError if they are too many."""
        stream.came += size
        if stream.expected != UNKNOWN:
            stream.expected -= size
            if stream.expected < 0:
                raise StreamError(PROTOCOL_ERROR, "the body is longer than its content-length")
        elif (
            stream.request is not None
            and not stream.is_websocket
            and (too_long := _too_long(self._limits, stream.request, stream.came))
        ):
            self.refuse(stream, too_long)

    def _end(self, stream: Stream) -> None:
        if stream.gone:
            return
        stream.open_in = False
        if stream.refused:
            return
        if stream.expected > 0:
            raise StreamError(PROTOCOL_ERROR, "the body is shorter than its content-length")
        self.events.append(StreamEnded(stream.number))

    # ---- the end of streams

    def refuse(self, stream: Stream, error: ProtocolError) -> None:
        """Have the owner answer in the application's place, if it is not too late for that."""
        if stream.began:
            self.fail(stream, StreamError(CANCEL, str(error)))
            return
        self.credit.forget(stream)
        stream.refused = True
        stream.call = RUNS
        self.events.append(StreamRefused(stream.number, stream.request, error, True))

    def fail(self, stream: Stream, error: StreamError) -> None:
        """The client broke HTTP/2 in a stream."""
        self.kill(stream, error.code)
        if stream.call == RUNS:
            self.events.append(StreamReset(stream.number, error.code, str(error)))
        elif stream.call == NONE:
            refusal = ProtocolError(400, str(error))
            self.events.append(StreamRefused(stream.number, stream.request, refusal, False))
        self._settle(stream)
        self._count_reset()

    def fail_closed(self, number: int, error: StreamError) -> None:
        """The same in a stream that is over."""
        self.streams.ended(number)
        self._output.control(rst_stream(number, error.code))
        self._count_reset()

    def kill(self, stream: Stream, code: int) -> None:
        """Reset a stream."""
        if not stream.gone:
            self._output.control(rst_stream(stream.number, code))
            self._lose(stream)
            stream.open_in = True  # as far as we know: what comes of it is ignored

    def client_resets(self, stream: Stream, code: int) -> None:
        if stream.gone:
            return
        self._lose(stream)
        stream.open_in = False
        if stream.call == RUNS:
            self.events.append(StreamReset(stream.number, code))
        self._settle(stream)
        self._count_reset()

    def _lose(self, stream: Stream) -> None:
        stream.gone = True
        self._output.drop(stream)
        self.credit.forget(stream)

    def _settle(self, stream: Stream) -> None:
        """Let a stream go if nobody has anything to do with it any more."""
        if stream.call != RUNS and (stream.gone or stream.closed):
            self.credit.forget(stream)
            if stream.is_websocket and stream.open_in and not stream.gone:
                # It had time to say its part. Or the stream would take up a place of those it may open.
                self._output.control(rst_stream(stream.number, NO_ERROR))
            self.streams.remove(stream)

    def settle(self) -> None:
        """The same of those whose end went out."""
        done, self._output.done = self._output.done, []
        for stream in done:
            stream.refused = True  # whatever is still to come
            self._settle(stream)

    def release(self, stream: Stream, code: int) -> None:
        """The call is over. `code` is for a stream whose answer has no end."""
        stream.call = OVER
        self.credit.forget(stream)
        stream.refused = True
        if not stream.ends:
            self.kill(stream, code)
        self._settle(stream)

    def abandon(self) -> list[StreamEvent]:
        """The connection is over before its streams; return what is to be told of these."""
        events: list[StreamEvent] = []
        for stream in list(self.streams.open.values()):
            self._lose(stream)
            if stream.call == RUNS:
                events.append(StreamReset(stream.number, CANCEL, "the connection ends"))
            self._settle(stream)
        return events


def _too_long(limits: Limits, request: Request, length: int) -> ProtocolError | None:
    """Return the refusal of a body of that length, None if it may have that."""
    try:
        most = body_limit(limits, request.target)
    except ProtocolError as error:
        return ProtocolError(error.status, str(error))
    return ProtocolError(413, f"the body is longer than {most} bytes") if 0 < most < length else None


def _checked(policy: Policy, request: Request) -> ProtocolError | None:
    """Return why a request is not let through. A WebSocket counts as the GET that it is in HTTP/1.1."""
    method = request.method
    if request.upgrade is not None:
        request.method = "GET"
    try:
        policy.check(request)
    except ProtocolError as error:  # a new object: this one holds the frames
        return ProtocolError(error.status, str(error), error.fields)
    finally:
        request.method = method
    return None
