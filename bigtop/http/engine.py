# The HTTP/1.1 engine: bytes from a client in, requests and pieces of their bodies out.
#
# Rule 1: no I/O and no clock; whoever owns the connection feeds bytes and keeps the time limits by `phase`.
# Rule 2: whatever a client sends, feed() returns; a broken message sets `error`, and nothing is parsed after
# it: where the next request would begin is then a guess, and guessing is how requests get smuggled.
# Rule 3: one meaning only. What two readers could take differently (two lengths, two hosts, a length and a
# coding) is refused, although llhttp or RFC 9112 would put up with some of it.
#
# The scanning is llhttp's (through httptools), which is strict about line ends, white space, tokens and
# numbers. What it leaves to its user is here: versions, Host, codings, Expect, limits, and upgrades that are
# not taken. It also puts up with a few request lines that it does not report: several spaces, RTSP/1.0. So
# the engine sees to it that every message begins at the beginning of a piece that llhttp is fed, and holds
# the first line against what llhttp made of it. A request in one piece, the usual thing, costs one find().
#
# Two classes, because llhttp calls back: _Reader is what it calls, Engine what its owner calls.
# Between two feeds the reader refers to neither of its users, so that a closed connection is freed at once,
# not by the garbage collector.

from __future__ import annotations

from collections.abc import Container
from enum import Enum
from typing import Final

import httptools

from bigtop.errors import ProtocolError
from bigtop.http.head import NOT_HTTP, check_line, check_sizes, check_target, frame
from bigtop.http.limits import Limits
from bigtop.http.messages import END, Event, Request


class Phase(Enum):
    """Where in a message the connection stands; tells its owner which time limit runs."""

    IDLE = "idle"  # at a request boundary: nothing of the next request has come (empty lines aside)
    HEAD = "head"
    BODY = "body"
    CLOSED = "closed"  # after the last request, or after an error: what comes now is ignored
    UPGRADED = "upgraded"  # the client speaks another protocol from here on: see Engine.take_rest()


IDLE, HEAD, BODY, CLOSED, UPGRADED = Phase  # an enum's member costs a look-up each time it is named

# What a chunk may cost on the wire beyond its data without being held against the client: its size line and
# line ends take up to 22 bytes. Go allows 16 + twice the data (CVE-2023-39326).
_CHUNK_ALLOWANCE: Final = 32

# Fields with a meaning for the connection or the framing.
_SPECIAL: Final = frozenset(
    (b"connection", b"content-length", b"expect", b"host", b"transfer-encoding", b"upgrade")
)

_BLANK: Final = b"\r\n\r\n"  # ends every head, and every chunked body: no part of a message goes on behind it
_BLANK_SIZE: Final = len(_BLANK)


class _LastRequest(Exception):  # noqa: N818 - it is no error
    """Stops llhttp after a request that closes the connection; pipelined ones behind it are not answered."""


class Engine:
    """One client connection. `upgrades` names the protocols (lower case) that its owner will take over."""

    __slots__ = (
        "_limits",
        "_over",
        "_parser",
        "_reader",
        "_rest",
        "_short",
        "_tail",
        "_upgrades",
        "error",
        "spent",
    )

    def __init__(self, limits: Limits, upgrades: Container[bytes] = ()) -> None:
        self.error: ProtocolError | None = None
        self._limits = limits
        self._upgrades = upgrades
        self._reader = _Reader(limits)
        self._parser = httptools.HttpRequestParser(self._reader)
        self._over = False
        self._rest = b""
        self._short = min(limits.request_line, limits.field_size, limits.head)
        self.spent = 0  # bytes of the head or the body that arrives, without its first piece
        self._tail = b""  # how the last piece ended: a blank line may lie on the seam

    @property
    def phase(self) -> Phase:
        return self._reader.phase

    @property
    def mid_message(self) -> bool:
        """Whether a request has begun to arrive and is not complete."""
        return self._reader.phase in (HEAD, BODY)

    def feed(self, data: bytes) -> list[Event]:
        """Return what `data` brings, in the order of the bytes; look at `error` and `phase` afterwards."""
        events: list[Event] = []
        size = len(data)
        begins = self._reader.phase is IDLE and not self._over and not self._tail
        if begins and data.find(_BLANK) + _BLANK_SIZE == size:  # one request without a body
            self._scan(data, events)
            return events
        at = 0
        while at < size:
            if self._over:
                if self._reader.phase is UPGRADED:
                    self._rest += data[at:]
                break
            end = self._end_of_part(data, at)
            self._scan(data if end - at == size else data[at:end], events)
            at = end
        return events

    def take_rest(self) -> bytes:
        """Return what arrived after the head of an accepted upgrade and was not yet taken."""
        rest, self._rest = self._rest, b""
        return rest

    def _end_of_part(self, data: bytes, at: int) -> int:
        """Return where the head or the body that `data` goes on with at `at` ends, at the latest."""
        reader = self._reader
        if reader.phase is BODY and not reader.request.chunked:
            return min(len(data), at + (reader.request.content_length or 0) - reader.received)
        tail, self._tail = self._tail, b""
        if tail and (seam := (tail + data[at : at + 3]).find(_BLANK)) >= 0:
            return at + seam + _BLANK_SIZE - len(tail)
        blank = data.find(_BLANK, at)
        if blank >= 0:
            return blank + _BLANK_SIZE
        self._tail = (tail + data[max(at, len(data) - 3) :])[-3:]
        return len(data)

    def _scan(self, piece: bytes, events: list[Event]) -> None:
        reader = self._reader
        reader.events = events
        reader.parser = self._parser
        if reader.phase is IDLE:
            reader.first = piece
        elif reader.phase is HEAD and b"\n" not in reader.first.lstrip(b"\r\n"):
            reader.first += piece
        reader.short = len(piece) <= self._short and reader.phase is not HEAD
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            self._after_upgrade()
        except httptools.HttpParserError as error:
            self._stop(error)
        reader.parser = None
        if reader.phase is not IDLE and not self._over:
            self._check_growth(len(piece))

    def _after_upgrade(self) -> None:
        """Hand over, or go on as ordinary HTTP: a server may ignore Upgrade (RFC 9110, 7.8), and clients such
        as `curl --http2` count on it.

        llhttp declares a message with an upgrade complete at the end of its head, also when a body follows.
        So a fresh parser is brought to the same point by a head with the same framing, and reads on there.
        """
        reader = self._reader
        request = reader.request
        if request.version == "1.1" and request.ended and (request.upgrade or b"").lower() in self._upgrades:
            self._over = True
            return
        request.upgrade = None
        self._parser = reader.parser = httptools.HttpRequestParser(reader)
        reader.decline_upgrade()
        self._over = reader.phase is CLOSED

    def _stop(self, error: httptools.HttpParserError) -> None:
        # Not error.__context__: Python puts there whatever is being handled where feed() was called from.
        refusal, self._reader.refusal = self._reader.refusal, None
        if self._reader.phase is CLOSED:
            self._over = True
        elif refusal is not None:
            self._fail(refusal.status, str(refusal))
        elif isinstance(error, httptools.HttpParserCallbackError):
            raise error  # a mistake of ours in a callback, and no client's fault
        else:
            self._fail(_status_of(error), str(error))

    def _fail(self, status: int, reason: str) -> None:
        # A new object: the one that was raised holds the frames, and so this engine, in a cycle.
        self.error = ProtocolError(status, reason)
        self._over = True
        self._reader.phase = CLOSED

    def _check_growth(self, size: int) -> None:
        """Bound what the client makes us hold or read without getting on: an endless head, endless framing.

        Bytes count from the first feed() that lies wholly inside the head or the body.
        """
        reader = self._reader
        if reader.fresh:
            reader.fresh = False
            self.spent = 0
            return
        self.spent += size
        limit = self._limits.head
        if reader.phase is HEAD:
            if self.spent > limit:
                long_target = len(reader.request.target) > self._limits.request_line
                self._fail(414 if long_target else 431, f"the request head is longer than {limit} bytes")
        elif reader.request.chunked and self.spent - reader.received - reader.allowance > limit:
            self._fail(400, "more chunk framing and trailers than data")


class _Reader:
    """What llhttp calls while it scans: builds requests and appends events."""

    __slots__ = (
        "_limits",
        "allowance",
        "events",
        "first",
        "fresh",
        "headers",
        "parser",
        "phase",
        "received",
        "refusal",
        "request",
        "short",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        # Per feed
        self.events: list[Event] = []
        self.parser: httptools.HttpRequestParser | None = None
        self.short = False  # a head that ends in this feed is too small for any limit of size
        self.fresh = True  # a head or a body began in this feed
        self.refusal: ProtocolError | None = None  # why we stopped llhttp
        # Per message
        self.phase = IDLE
        self.first = b""  # the piece with its first line, of empty lines in front of it at most
        self.request = Request()
        self.headers: list[tuple[bytes, bytes]] = []
        self.received = 0  # bytes of the body
        self.allowance = 0  # bytes of chunk framing that are not held against the client

    def on_message_begin(self) -> None:
        self.phase = HEAD
        self.fresh = True
        self.request = request = Request()
        request.target = b""
        self.headers = request.headers

    def on_url(self, piece: bytes) -> None:
        self.request.target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        # llhttp leaves white space at the end of a value; rstrip() finds no other kind there.
        self.headers.append((name, value.rstrip()))

    def on_headers_complete(self) -> None:
        try:
            self._take_head()
        except ProtocolError as refusal:
            self.refusal = refusal
            raise

    def _take_head(self) -> None:
        parser, request, headers = self.parser, self.request, self.headers
        assert parser is not None
        method = parser.get_method()
        request.method = method.decode()
        request.version = version = parser.get_http_version()
        if not self.short or len(headers) > self._limits.fields:
            check_sizes(request, self._limits)
        special: dict[bytes, bytes] = {}
        for name, value in headers:
            field = name.lower()
            if field in _SPECIAL:  # repeated ones make a list, as RFC 9110 5.3 reads them
                special[field] = special[field] + b", " + value if field in special else value
        if request.method in NOT_HTTP:
            raise ProtocolError(501, f"{request.method} is no method of HTTP")
        if version != "1.1":
            if version != "1.0":
                raise ProtocolError(505, f"HTTP/{version} is not spoken here")
            request.keep_alive = False
        if not self.first.startswith(b"%b %b HTTP/1.1\r\n" % (method, request.target)):
            check_line(request, self.first)
        check_target(request, special.get(b"host"))
        if len(special) > 1 or version == "1.0":
            self._apply(request, special)
        self.headers = []  # trailers go there, and from there nowhere
        self.fresh = True
        self.received = self.allowance = 0
        if self.phase is HEAD and not request.ended:
            self.phase = BODY
        self.events.append(request)

    def on_chunk_header(self) -> None:
        self.allowance += _CHUNK_ALLOWANCE

    def on_body(self, piece: bytes) -> None:
        self.received += len(piece)
        if self.received > self._limits.body > 0:
            self.refusal = ProtocolError(413, f"the body is longer than {self._limits.body} bytes")
            raise self.refusal
        self.events.append(piece)

    def on_message_complete(self) -> None:
        if self.phase is UPGRADED:
            return
        request = self.request
        if self.headers and request.chunked:
            self._check_trailers()
        if not request.ended:
            self.events.append(END)
        if request.keep_alive:
            self.phase = IDLE
        else:
            self.phase = CLOSED
            raise _LastRequest

    def _check_trailers(self) -> None:
        """Trailers go nowhere; but llhttp obeys a Connection among them, and others may obey the rest."""
        for name, _value in self.headers:
            if name.lower() in _SPECIAL:
                self.refusal = ProtocolError(400, f"{name.decode('latin-1')} cannot be a trailer")
                raise self.refusal

    def decline_upgrade(self) -> None:
        """Bring the present, fresh parser behind the head of the present request, without its Upgrade."""
        request, events, parser = self.request, self.events, self.parser
        if request.ended:
            self.phase = IDLE if request.keep_alive else CLOSED
            return
        assert parser is not None
        length = b"Content-Length: %d" % (request.content_length or 0)
        framing = b"Transfer-Encoding: chunked" if request.chunked else length
        self.events = []
        self.short = True
        self.first = b"POST / HTTP/1.1\r\nHost:\r\n%b\r\n\r\n" % framing
        parser.feed_data(self.first)
        self.short = False
        self.events = events
        self.request = request

    def _apply(self, request: Request, special: dict[bytes, bytes]) -> None:
        """Take the fields that say how the message is framed and what becomes of the connection."""
        if (connection := special.get(b"connection")) is not None:
            tokens = [token.strip() for token in connection.lower().split(b",")]
            keeps = request.version == "1.1" or b"keep-alive" in tokens
            request.keep_alive = keeps and b"close" not in tokens
        frame(request, special)
        if self._limits.body and (request.content_length or 0) > self._limits.body:
            raise ProtocolError(413, f"the body is longer than {self._limits.body} bytes")
        if request.version == "1.1" and (expect := special.get(b"expect")) is not None:
            if expect.lower() != b"100-continue":
                raise ProtocolError(417, "the only expectation known is 100-continue")
            request.expects_continue = not request.ended
        upgrade = special.get(b"upgrade")
        if upgrade is not None and self.parser is not None and self.parser.should_upgrade():
            # on_message_complete() comes next, before any body: see Engine._after_upgrade().
            self.phase = UPGRADED
            request.upgrade = upgrade


def _status_of(error: httptools.HttpParserError) -> int:
    """Return the answer to what llhttp refused; some cases it tells apart by its words alone."""
    if isinstance(error, httptools.HttpParserInvalidMethodError):
        return 501
    if str(error) in ("Invalid HTTP version", "Pause on PRI/Upgrade"):
        return 505
    return 400
