# Stream of HTTP/2: one request and its answer, as far as the connection keeps them.

from __future__ import annotations

from typing import Final

from bigtop.http.h2.streams.backlog import Backlog
from bigtop.http.h2.streams.priority import Priority
from bigtop.http.messages import Request

UNKNOWN: Final = -1  # a length that was not announced

# Calls.
NONE: Final = 0  # nobody was told
RUNS: Final = 1
OVER: Final = 2  # somebody said release()


class Stream:
    """What is known of one stream; requests.py and output.py change it."""

    __slots__ = (
        "backlog",
        "began",
        "call",
        "came",
        "closed",
        "credit",
        "ends",
        "expected",
        "frames",
        "gone",
        "is_queued",
        "number",
        "open_in",
        "priority",
        "refused",
        "request",
        "sent",
        "trailers",
        "untaken",
        "window",
    )

    def __init__(self, number: int, window: int, credit: int, priority: Priority) -> None:
        self.number = number
        self.priority = priority
        self.request: Request | None = None
        self.call = NONE
        self.refused = False  # what comes is ignored; an answer goes out
        self.gone = False  # it was reset: nothing goes out, what comes is ignored
        # What comes.
        self.open_in = True  # the client may send more
        self.expected = UNKNOWN  # bytes of body that are to come
        self.came = 0  # bytes of body
        self.credit = credit  # bytes that the client may send
        self.untaken = 0  # bytes that were handed over, and are not taken()
        # What goes out.
        self.began = False  # the head of the answer is made
        self.frames = b""  # heads, and what needs no window
        self.window = window
        self.backlog = Backlog()
        self.ends = False  # nothing comes behind the backlog but trailers
        self.trailers = b""
        self.closed = False  # the answer's end is out
        self.is_queued = False  # among those that have something to send
        self.sent = 0  # bytes of body

    @property
    def is_websocket(self) -> bool:
        return self.request is not None and self.request.upgrade is not None
