# Events of an HTTP/2 connection: the vocabulary between http/h2/connection.py and all who answer requests.
#
# Http2Connection.feed(data, now) returns a list of them in the order of the bytes. Of one stream there come:
#     StreamRequest    its head is complete; `request.ended` tells whether a body follows
#     StreamData       a piece of that body
#     StreamEnded      that body is complete (never sent for a request that was `ended` at once)
#     StreamRefused    the request is refused, with its head or at any time in its body
#     StreamReset      nobody waits for an answer any more: the call, if there is one, is to end
# Nothing comes of a stream behind StreamRefused and StreamReset, but that a refused one may still be reset.
# Whoever got a StreamRequest, or a StreamRefused that `is_open`, calls release() when the call is over.

from __future__ import annotations

from bigtop.errors import ProtocolError
from bigtop.http.messages import Request


class StreamRequest:
    """A request. `version` is "2", names of fields are in lower case, `host` is the first of them.

    `upgrade` is b"websocket" for a CONNECT of RFC 8441, where these are wanted: its `method` is CONNECT, it
    is never `ended`, and the DATA of both sides is the WebSocket's.
    """

    __slots__ = ("request", "stream")

    def __init__(self, stream: int, request: Request) -> None:
        self.stream = stream
        self.request = request


class StreamData:
    """A piece of a body, never empty. Say taken() when it needs no more room."""

    __slots__ = ("data", "stream")

    def __init__(self, stream: int, data: bytes) -> None:
        self.stream = stream
        self.data = data


class StreamEnded:
    """The end of a body."""

    __slots__ = ("stream",)

    def __init__(self, stream: int) -> None:
        self.stream = stream


class StreamReset:
    """The end of a stream before that of its answer: the client's doing, or ours for a rule that it broke.

    `code` is one of error_codes.py, `reason` what to tell in a log, "" where the client gave the request up.
    """

    __slots__ = ("code", "reason", "stream")

    def __init__(self, stream: int, code: int, reason: str = "") -> None:
        self.stream = stream
        self.code = code
        self.reason = reason


class StreamRefused:
    """A request that is refused.

    If the stream `is_open` it has to be answered with `error`, by head() and write(); otherwise it was reset
    (what breaks HTTP/2 in a stream has no answer) and is only to be counted and told of. `request` is None
    where the head was not understood.
    """

    __slots__ = ("error", "is_open", "request", "stream")

    def __init__(self, stream: int, request: Request | None, error: ProtocolError, is_open: bool) -> None:
        self.stream = stream
        self.request = request
        self.error = error
        self.is_open = is_open


StreamEvent = StreamRequest | StreamData | StreamEnded | StreamReset | StreamRefused
