# Receiver of an HTTP/2 connection: the frames of a client, one by one (RFC 9113, 6).
#
# Rule 1: what comes out does not depend on how the bytes were cut: a frame is looked at when it is whole.
# Rule 2: a fault of a stream resets the stream (StreamError), one that leaves the two sides of different
# opinions ends the connection (Http2Error).
# Rule 3: the owner says how much is looked at at once, so that no client keeps the others waiting; the rest
# stays here.
# Rule 4: whatever costs us more than the client is counted (limits.py): resets of both sides, frames that
# bring no request and no body.

from __future__ import annotations

from typing import Final

from bigtop.http.h2.error_codes import (
    ENHANCE_YOUR_CALM,
    FRAME_SIZE_ERROR,
    PROTOCOL_ERROR,
    STREAM_CLOSED,
    Http2Error,
    StreamError,
)
from bigtop.http.h2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HAS_PRIORITY,
    HEAD_SIZE,
    HEADERS,
    MOST_PAYLOAD,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PRIORITY_UPDATE,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from bigtop.http.h2.hpack import EMPTY
from bigtop.http.h2.limits import Http2Limits
from bigtop.http.h2.request_heads import known_block, trailer_block
from bigtop.http.h2.requests import Requests
from bigtop.http.h2.settings import initial_window
from bigtop.http.h2.streams.output import Output
from bigtop.http.h2.streams.priority import read_priority
from bigtop.http.limits import Limits

DRAINS: Final = b"draining"  # the PING that measures a round trip
# What frames cost, in those that cost least; one with a head costs as much as a few of these.
ALL: Final = 1 << 60
_HEAD_COST: Final = 8
_SETTINGS_ACK: Final = frame(SETTINGS, ACK, 0, b"")


class _PartialBlock:
    """A header block that is not whole."""

    __slots__ = ("fault", "flags", "frames", "parts", "size", "stream")

    def __init__(self, stream: int, flags: int, part: bytes, fault: StreamError | None) -> None:
        self.stream = stream
        self.flags = flags
        self.fault = fault
        self.parts = [part]
        self.frames = 1
        self.size = len(part)


class Receiver:
    """What arrives at one connection. `is_open` is whether the preface and the first SETTINGS came,
    `is_leaving` whether the client said GOAWAY, `was_round` whether it answered our PING, `has_more` whether
    there are whole frames that were not looked at."""

    __slots__ = (
        "_block", "_h2", "_limits", "_output", "_prefaced", "_requests", "_rest", "_table",
        "has_more", "is_leaving", "is_open", "was_round",
    )  # fmt: skip

    def __init__(self, limits: Limits, h2: Http2Limits, requests: Requests, output: Output) -> None:
        self._limits = limits
        self._h2 = h2
        self._requests = requests
        self._output = output
        self._rest = b""
        self._prefaced = False
        self._table = EMPTY
        self._block: _PartialBlock | None = None
        self.has_more = False
        self.is_open = False
        self.is_leaving = False
        self.was_round = False

    @property
    def has_part(self) -> bool:
        """Whether a frame or a head is not whole."""
        return bool(self._rest) or self._block is not None

    @property
    def is_in_head(self) -> bool:
        return self._block is not None

    def feed(self, data: bytes, most: int) -> None:
        """Take what arrived, and look at about `most` frames of it; Http2Error ends the connection."""
        self.has_more = False
        if self._rest:
            data, self._rest = self._rest + data, b""
        at = 0
        if not self._prefaced:
            at = len(PREFACE)
            if not PREFACE.startswith(data[:at]):
                raise Http2Error(PROTOCOL_ERROR, "the connection does not begin with the preface of HTTP/2")
            if len(data) < at:
                self._rest = data
                return
            self._prefaced = True
        size = len(data)
        while size - at >= HEAD_SIZE:
            length = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
            if length > MOST_PAYLOAD:
                raise Http2Error(FRAME_SIZE_ERROR, f"a frame is longer than {MOST_PAYLOAD} bytes")
            end = at + HEAD_SIZE + length
            if end > size:
                break
            if most <= 0 and data[at + 3] != RST_STREAM:  # what was given up at once is never begun
                self.has_more = True
                break
            most -= _HEAD_COST if data[at + 3] == HEADERS else 1
            self._frame(data, at, end)
            at = end
        if at < size:
            self._rest = data[at:]

    def _frame(self, data: bytes, at: int, end: int) -> None:
        kind, flags = data[at + 3], data[at + 4]
        number = (data[at + 5] & 0x7F) << 24 | data[at + 6] << 16 | data[at + 7] << 8 | data[at + 8]
        at += HEAD_SIZE
        if not self.is_open and (kind != SETTINGS or flags & ACK):
            raise Http2Error(PROTOCOL_ERROR, "the first frame is not SETTINGS")
        block = self._block
        if block is not None and (kind != CONTINUATION or number != block.stream):
            raise Http2Error(PROTOCOL_ERROR, "a frame comes in the middle of a head")
        try:
            if kind == HEADERS:
                self._headers(flags, number, data, at, end)
            elif kind == DATA:
                self._data(flags, number, data, at, end)
            elif kind == WINDOW_UPDATE:
                self._window_update(number, data[at:end])
            elif kind == RST_STREAM:
                self._rst_stream(number, data[at:end])
            elif kind == CONTINUATION:
                self._continuation(flags, data[at:end])
            else:
                self._other(kind, flags, number, data[at:end])
        except StreamError as error:
            stream = self._requests.streams.open.get(number)
            if stream is not None:
                self._requests.fail(stream, error)
            else:
                self._requests.fail_closed(number, error)

    # ---- heads

    def _headers(self, flags: int, number: int, data: bytes, at: int, end: int) -> None:
        if not number % 2:
            raise Http2Error(PROTOCOL_ERROR, f"a client cannot open stream {number}")
        fault = None
        if flags & (PADDED | HAS_PRIORITY):
            if flags & PADDED:
                at, end = _unpadded(data, at, end)
            if flags & HAS_PRIORITY:
                if end - at < 5:
                    raise Http2Error(FRAME_SIZE_ERROR, "HEADERS are too short for a priority")
                if _depends(data, at) == number:
                    fault = StreamError(PROTOCOL_ERROR, "a stream depends on itself")
                at += 5
        if flags & END_HEADERS:
            self._head(number, flags, data[at:end], fault)
        else:
            self._block = _PartialBlock(number, flags, data[at:end], fault)

    def _continuation(self, flags: int, part: bytes) -> None:
        block = self._block
        if block is None:
            raise Http2Error(PROTOCOL_ERROR, "CONTINUATION without a head before it")
        block.frames += 1
        block.size += len(part)
        if block.frames > self._h2.header_frames or block.size > self._limits.head:
            raise Http2Error(ENHANCE_YOUR_CALM, "a head has too many frames, or is too long")
        block.parts.append(part)
        if flags & END_HEADERS:
            self._block = None
            self._head(block.stream, block.flags, b"".join(block.parts), block.fault)

    def _head(self, number: int, flags: int, data: bytes, fault: StreamError | None) -> None:
        requests = self._requests
        ended = flags & END_STREAM != 0
        stream = requests.streams.open.get(number)
        if stream is None and number > requests.streams.last:
            block = known_block(self._table, data, self._limits)
            self._table = block.table
            requests.begin(number, block, ended=ended, fault=fault)
            return
        block = trailer_block(self._table, data, self._limits)
        self._table = block.table
        if stream is None:
            requests.streams.check_closed(number)
        elif fault is not None:
            raise fault
        else:
            requests.trailers(stream, block, ended=ended)

    # ---- bodies, and the ends of streams

    def _data(self, flags: int, number: int, data: bytes, at: int, end: int) -> None:
        size = end - at
        if flags & PADDED:
            at, end = _unpadded(data, at, end)
        requests = self._requests
        stream = requests.streams.open.get(number)
        if stream is None:
            is_ignored = requests.streams.ignores(number)
            requests.data(None, data[at:end], size, ended=flags & END_STREAM != 0)
            if not is_ignored:
                raise StreamError(STREAM_CLOSED, "DATA comes of a stream that is over")
            return
        requests.data(stream, data[at:end], size, ended=flags & END_STREAM != 0)

    def _rst_stream(self, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Http2Error(FRAME_SIZE_ERROR, "RST_STREAM has 4 bytes")
        requests = self._requests
        stream = requests.streams.open.get(number)
        if stream is None:
            requests.streams.ignores(number)
            requests.count_control()
        else:
            requests.client_resets(stream, int.from_bytes(payload, "big"))

    def _window_update(self, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Http2Error(FRAME_SIZE_ERROR, "WINDOW_UPDATE has 4 bytes")
        requests, output = self._requests, self._output
        if output.causes:
            output.causes -= 1
        else:
            requests.count_control()
        size = int.from_bytes(payload, "big") & 0x7FFFFFFF
        stream = requests.streams.open.get(number)
        if stream is None:
            if size == 0:
                raise Http2Error(PROTOCOL_ERROR, "WINDOW_UPDATE of nothing")
            if number == 0:
                output.open(size)
            else:
                requests.streams.ignores(number)
        elif not stream.gone:
            output.open_stream(stream, size)

    # ---- what concerns the connection

    def _other(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        """Take a frame that brings nothing for an application."""
        self._requests.count_control()
        if kind == SETTINGS:
            self._settings(flags, number, payload)
        elif kind == PING:
            self._ping(flags, number, payload)
        elif kind == PRIORITY:
            _check_priority(number, payload)
        elif kind == PRIORITY_UPDATE:
            self._priority_update(number, payload)
        elif kind == GOAWAY:
            if number or len(payload) < 8:
                code = PROTOCOL_ERROR if number else FRAME_SIZE_ERROR
                raise Http2Error(code, "GOAWAY is for the connection, and has 8 bytes at least")
            self.is_leaving = True
        elif kind == PUSH_PROMISE:
            raise Http2Error(PROTOCOL_ERROR, "a client cannot push")

    def _settings(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise Http2Error(PROTOCOL_ERROR, "SETTINGS are for the connection")
        if flags & ACK:
            if payload:
                raise Http2Error(FRAME_SIZE_ERROR, "SETTINGS that acknowledge are empty")
            return
        output = self._output
        initial = initial_window(payload, output.initial)
        if initial != output.initial:
            output.resize(list(self._requests.streams.open.values()), initial)
        output.control(_SETTINGS_ACK)
        self.is_open = True

    def _ping(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise Http2Error(PROTOCOL_ERROR, "PING is for the connection")
        if len(payload) != 8:
            raise Http2Error(FRAME_SIZE_ERROR, "PING has 8 bytes")
        if not flags & ACK:
            self._output.control(frame(PING, ACK, 0, payload))
        elif payload == DRAINS:
            self.was_round = True

    def _priority_update(self, number: int, payload: bytes) -> None:
        if number:
            raise Http2Error(PROTOCOL_ERROR, "PRIORITY_UPDATE is for the connection")
        if len(payload) < 4:
            raise Http2Error(FRAME_SIZE_ERROR, "PRIORITY_UPDATE has 4 bytes at least")
        about = int.from_bytes(payload[:4], "big") & 0x7FFFFFFF
        if not about % 2:
            raise Http2Error(PROTOCOL_ERROR, f"PRIORITY_UPDATE is about stream {about}")
        stream = self._requests.streams.open.get(about)
        if stream is not None and not stream.gone:
            self._output.prioritize(stream, read_priority(payload[4:]))


def _unpadded(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return where a payload with padding begins and ends."""
    if at == end:
        raise Http2Error(FRAME_SIZE_ERROR, "a frame is too short for its padding")
    end -= data[at]
    at += 1
    if end < at:
        raise Http2Error(PROTOCOL_ERROR, "a frame has more padding than payload")
    return at, end


def _depends(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big") & 0x7FFFFFFF


def _check_priority(number: int, payload: bytes) -> None:
    """Priorities of RFC 7540 go nowhere, but have to be right."""
    if number == 0:
        raise Http2Error(PROTOCOL_ERROR, "PRIORITY is for a stream")
    if len(payload) != 5:
        raise Http2Error(FRAME_SIZE_ERROR, "PRIORITY has 5 bytes")
    if _depends(payload, 0) == number:
        raise Http2Error(PROTOCOL_ERROR, "a stream depends on itself")
