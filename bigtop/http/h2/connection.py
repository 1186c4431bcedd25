# HTTP/2 without I/O, the server's side (RFC 9113): bytes that a client sent become events (events.py), what
# answers it becomes bytes.
#
# Rule 1: no clock. `now` is monotonic time in nanoseconds, and never goes back.
# Rule 2: an error of the connection is final. It is kept in `error`, a GOAWAY is among the output, what comes
# then is ignored; the owner sends the output and closes.
# Rule 3: one thread at a time calls any of this. What an application's thread can do by itself is to make
# blocks: see response_heads.py.
# Rule 4: calls about a stream that is gone are nothing, not errors: the client may be quicker.

from __future__ import annotations

from typing import Final

from bigtop.http.engine import Phase
from bigtop.http.h2.budget import SECOND
from bigtop.http.h2.error_codes import INTERNAL_ERROR, NO_ERROR, Http2Error
from bigtop.http.h2.events import StreamEvent
from bigtop.http.h2.frames import LAST_STREAM, PING, frame, goaway
from bigtop.http.h2.limits import Http2Limits
from bigtop.http.h2.receiver import ALL, DRAINS, Receiver
from bigtop.http.h2.requests import Requests
from bigtop.http.h2.settings import offer
from bigtop.http.h2.slowness import Slowness
from bigtop.http.h2.streams.output import Output
from bigtop.http.h2.streams.stream import Stream
from bigtop.http.limits import Limits
from bigtop.http.policy import Policy

_ROUND: Final = SECOND  # the longest that the second GOAWAY waits for the client's answer to the first


class Http2Connection:
    """One client connection, from its preface on. Our SETTINGS are among the output at once.

    `policy` says which requests are let through, None: all. `websockets` is whether RFC 8441 is offered.
    """

    __slots__ = (
        "_drains_since",
        "_h2",
        "_output",
        "_receiver",
        "_requests",
        "_slowness",
        "_until",
        "_wants_drain",
        "error",
        "is_draining",
    )

    def __init__(
        self, limits: Limits, h2: Http2Limits, policy: Policy | None, *, websockets: bool, now: int
    ) -> None:
        self._h2 = h2
        self._output = Output(offer(h2, limits.head, websockets=websockets))
        self._requests = Requests(limits, h2, policy, websockets, self._output, now)
        self._receiver = Receiver(limits, h2, self._requests, self._output)
        self._slowness = Slowness(limits)
        age = int(h2.age * SECOND)
        self._until = now + age - now % (age // 10 + 1) if age else 0
        self._wants_drain = False
        self._drains_since = 0  # when the first GOAWAY was queued
        self.is_draining = False  # a GOAWAY is out, or will be when the last WebSocket is over
        self.error: Http2Error | None = None

    # ---- from the client

    def feed(self, data: bytes, now: int, most: int = ALL) -> list[StreamEvent]:
        """Return what `data` brings, in the order of the bytes; look at `error` and is_over afterwards.

        Call output() behind it: answers to SETTINGS and PING, and credit, are waiting there. Of about `most`
        frames only; if it has_more then, feed it b"" when others had their turn, and read nothing before.
        """
        if self.error is not None:
            return []
        requests = self._requests
        requests.now = now
        try:
            self._receiver.feed(data, most)
        except Http2Error as error:
            self._fail(Http2Error(error.code, str(error)))
        events, requests.events = requests.events, []
        if self.has_failed:
            events += requests.abandon()
        elif self._receiver.was_round and self._drains_since and requests.last == LAST_STREAM:
            self._drain_last()
        elif 0 < self._h2.requests <= requests.count and not self.is_draining:
            self.drain(now)
        return events

    def expire(self, now: int) -> list[StreamEvent]:
        """Do what is due by the clock, once a second or so while there are streams.

        Streams whose bytes wait too long for the client's window, or go too slowly, are reset (StreamReset);
        bodies that come too slowly are refused with 408 (StreamRefused); a connection whose window stays
        at 0 fails; one that is too old ends in peace; the second GOAWAY follows the first.
        """
        if self.error is not None:
            return []
        requests = self._requests
        requests.now = now
        try:
            self._slowness.look(requests, self._output, now)
        except Http2Error as error:
            self._fail(Http2Error(error.code, str(error)))
        events, requests.events = requests.events, []
        if self.has_failed:
            events += requests.abandon()
        elif self._drains_since and requests.last == LAST_STREAM and now - self._drains_since >= _ROUND:
            self._drain_last()
        elif 0 < self._until <= now and not self.is_draining:
            self.drain(now)
        return events

    def _fail(self, error: Http2Error) -> None:
        self.error = error
        self._output.control(goaway(self._requests.streams.last, error.code, str(error)))

    @property
    def has_more(self) -> bool:
        """Whether something was fed that was not looked at."""
        return self._receiver.has_more and self.error is None

    @property
    def has_failed(self) -> bool:
        return self.error is not None

    @property
    def phase(self) -> Phase:
        """Which time limit of the connection runs: HEAD while preface, first SETTINGS or a head is not whole,
        IDLE without streams, BODY with some (their limits are in expire()), CLOSED when it is_over."""
        if self.is_over:
            return Phase.CLOSED
        receiver = self._receiver
        if not receiver.is_open or receiver.is_in_head:
            return Phase.HEAD
        if self._requests.streams.open:
            return Phase.BODY
        return Phase.HEAD if receiver.has_part else Phase.IDLE

    @property
    def is_over(self) -> bool:
        """Whether no stream is left and none will come: to be closed when the output is out."""
        if self.error is not None:
            return True
        if self._requests.streams.open:
            return False
        return self._receiver.is_leaving or self._requests.last != LAST_STREAM

    @property
    def is_choked(self) -> bool:
        """Whether the client does not read what we have to say: nothing more of it is to be read until
        output() has given all that out."""
        return self._output.unsent > self._h2.unsent

    # ---- to the client

    def interim(self, stream: int, block: bytes) -> None:
        """Send a head of 100 or 103 (response_heads.CONTINUE, early_hints()), unless the answer has begun."""
        found = self._answered(stream)
        if found is not None and not found.began:
            self._output.head(found, block, ends=False)

    def head(self, stream: int, block: bytes, *, ends: bool = False) -> None:
        """Send the head of the answer (response_heads.frame()); `ends`: there is no body and no trailer."""
        found = self._answered(stream)
        if found is not None:
            found.began = True
            self._output.head(found, block, ends=ends)

    def write(self, stream: int, data: bytes, *, ends: bool = False) -> None:
        """Queue a piece of the body behind the windows. `data` may be empty where it `ends`."""
        found = self._answered(stream)
        if found is not None:
            self._output.write(found, data, ends=ends)

    def trailers(self, stream: int, block: bytes) -> None:
        """End the body with fields (response_heads.trailers())."""
        found = self._answered(stream)
        if found is not None:
            self._output.trailers(found, block)

    def _answered(self, number: int) -> Stream | None:
        """Return a stream for which something can be sent."""
        stream = self._requests.streams.open.get(number)
        return None if stream is None or stream.gone or stream.ends else stream

    def waiting(self, stream: int) -> int:
        """Return how many bytes of body are queued; 0 for a stream that is gone. The owner holds the
        application back by it."""
        found = self._requests.streams.open.get(stream)
        return 0 if found is None else found.backlog.size

    def room(self, stream: int) -> int:
        """Return how many bytes of body may be given to write() and would go out now: so that a file is read
        when it can be sent, and not before. 0 as well where others are to go first."""
        found = self._answered(stream)
        return 0 if found is None else self._output.room(found)

    def output(self, most: int) -> bytes:
        """Return the frames that are to go out next, about `most` bytes, b"" when none may.

        Control frames first, then heads, then bodies by urgency and in turns (RFC 9218).
        """
        output = self._output
        data = output.take(most)
        if output.done:
            self._requests.settle()
        return data

    @property
    def has_output(self) -> bool:
        """Whether output() would give anything."""
        return not self._output.is_empty

    def taken(self, stream: int, size: int) -> None:
        """The application, or a temporary file, took `size` bytes of the body: the client may send more."""
        found = self._requests.streams.open.get(stream)
        if found is not None:
            self._requests.credit.taken(found, size)

    def reset(self, stream: int, code: int) -> None:
        """End a stream in the middle of its answer; release() is to be called all the same."""
        found = self._requests.streams.open.get(stream)
        if found is not None and not found.closed:
            self._requests.kill(found, code)

    def release(self, stream: int) -> None:
        """The call is over, whatever became of the stream: another may take its place. What was written still
        goes out; an answer that has no end by now is reset with INTERNAL_ERROR."""
        found = self._requests.streams.open.get(stream)
        if found is not None:
            self._requests.release(found, INTERNAL_ERROR)
            if self._wants_drain and not self._requests.streams.websockets:
                self._drain_first()

    # ---- the end

    def drain(self, now: int) -> None:
        """End in peace: a first GOAWAY now, the last one a round trip or a second later (expire()); is_over
        when the streams are. Where WebSockets are open it waits for them: Firefox drops them at a GOAWAY."""
        if self.is_draining or self.error is not None:
            return
        self.is_draining = True
        self._requests.now = now
        if self._requests.streams.websockets:
            self._wants_drain = True
        else:
            self._drain_first()

    def _drain_first(self) -> None:
        self._wants_drain = False
        self._drains_since = self._requests.now
        self._output.control(frame(PING, 0, 0, DRAINS) + goaway(LAST_STREAM, NO_ERROR))

    def _drain_last(self) -> None:
        """From here on streams are refused; the client knows, and may try them elsewhere."""
        self._requests.last = self._requests.streams.last
        self._output.control(goaway(self._requests.last, NO_ERROR))
