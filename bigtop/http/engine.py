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
# not taken. Two classes, because llhttp calls back: _Reader is what it calls, Engine what its owner calls.
# Between two feeds the reader refers to neither of its users, so that a closed connection is freed at once,
# not by the garbage collector.

from __future__ import annotations

import re
from collections.abc import Container
from enum import Enum
from functools import lru_cache
from typing import Final

import httptools

from bigtop.errors import ProtocolError
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

# llhttp also reads RTSP and ICE, and does not tell; in HTTP it refuses these methods of theirs.
_NOT_HTTP: Final = frozenset(
    ("ANNOUNCE", "DESCRIBE", "FLUSH", "GET_PARAMETER", "PAUSE", "PLAY", "RECORD", "REDIRECT", "SETUP",
     "SET_PARAMETER", "SOURCE", "TEARDOWN")
)  # fmt: skip

# uri-host [":" port] of RFC 3986 and 9110. No user information, no white space, no list of two.
_HOST: Final = re.compile(rb"(?:[\w.~!$&'()*+;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?", re.ASCII)
_SLASH: Final = ord("/")
_AUTHORITY: Final = re.compile(rb"https?://([^/?]+)", re.IGNORECASE)


class _LastRequest(Exception):  # noqa: N818 - it is no error
    """Stops llhttp after a request that closes the connection; pipelined ones behind it are not answered."""


class Engine:
    """One client connection. `upgrades` names the protocols (lower case) that its owner will take over."""

    __slots__ = ("_limits", "_over", "_parser", "_reader", "_rest", "_short", "error", "spent")

    def __init__(self, limits: Limits, upgrades: Container[bytes] = ()) -> None:
        self.error: ProtocolError | None = None
        self._limits = limits
        self._reader = _Reader(limits, upgrades)
        self._parser = httptools.HttpRequestParser(self._reader)
        self._over = False
        self._rest = b""
        self._short = min(limits.request_line, limits.field_size, limits.head)
        self.spent = 0  # bytes of the head or the body that arrives, without its first piece

    @property
    def phase(self) -> Phase:
        return self._reader.phase

    @property
    def mid_message(self) -> bool:
        """Whether a request has begun to arrive and is not complete."""
        return self._reader.phase in (HEAD, BODY)

    def feed(self, data: bytes) -> list[Event]:
        """Return what `data` brings, in the order of the bytes; look at `error` and `phase` afterwards."""
        if self._over:
            if self._reader.phase is UPGRADED:
                self._rest += data
            return []
        reader = self._reader
        events: list[Event] = []
        reader.events = events
        reader.parser = self._parser
        reader.short = len(data) <= self._short and reader.phase is not HEAD
        switch_at = -1
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            switch_at = upgrade.args[0]
        except httptools.HttpParserError as error:
            self._stop(error)
        if switch_at >= 0:
            self._after_upgrade(memoryview(data)[switch_at:])
        reader.parser = None
        if reader.phase is not IDLE and not self._over:
            self._check_growth(len(data))
        return events

    def take_rest(self) -> bytes:
        """Return what arrived after the head of an accepted upgrade and was not yet taken."""
        rest, self._rest = self._rest, b""
        return rest

    def _after_upgrade(self, rest: memoryview) -> None:
        """Hand over, or parse on as ordinary HTTP: a server may ignore Upgrade (RFC 9110, 7.8), and clients
        such as `curl --http2` count on it.

        llhttp declares a message with an upgrade complete at the end of its head, also when a body follows.
        So a fresh parser is brought to the same point by a head with the same framing, and reads on there.
        """
        reader = self._reader
        switch_at = 0
        while switch_at >= 0:
            rest = rest[switch_at:]
            if reader.request.upgrade is not None:
                self._over = True
                self._rest = bytes(rest)
                return
            switch_at = -1
            self._parser = reader.parser = httptools.HttpRequestParser(reader)
            try:
                reader.decline_upgrade()
                if reader.phase is CLOSED:
                    self._over = True
                    return
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                switch_at = upgrade.args[0]
            except httptools.HttpParserError as error:
                self._stop(error)

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
        "_upgrades",
        "allowance",
        "events",
        "fresh",
        "headers",
        "parser",
        "phase",
        "received",
        "refusal",
        "request",
        "short",
    )

    def __init__(self, limits: Limits, upgrades: Container[bytes]) -> None:
        self._limits = limits
        self._upgrades = upgrades
        # Per feed
        self.events: list[Event] = []
        self.parser: httptools.HttpRequestParser | None = None
        self.short = False  # a head that ends in this feed is too small for any limit of size
        self.fresh = True  # a head or a body began in this feed
        self.refusal: ProtocolError | None = None  # why we stopped llhttp
        # Per message
        self.phase = IDLE
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
        request.method = parser.get_method().decode()
        request.version = version = parser.get_http_version()
        if not self.short or len(headers) > self._limits.fields:
            _check_sizes(request, self._limits)
        special: dict[bytes, bytes] = {}
        for name, value in headers:
            field = name.lower()
            if field in _SPECIAL:  # repeated ones make a list, as RFC 9110 5.3 reads them
                special[field] = special[field] + b", " + value if field in special else value
        if request.method in _NOT_HTTP:
            raise ProtocolError(501, f"{request.method} is no method of HTTP")
        if version != "1.1":
            if version != "1.0":
                raise ProtocolError(505, f"HTTP/{version} is not spoken here")
            request.keep_alive = False
        _check_target(request, special.get(b"host"))
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
        if not request.ended:
            self.events.append(END)
        if request.keep_alive:
            self.phase = IDLE
        else:
            self.phase = CLOSED
            raise _LastRequest

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
        parser.feed_data(b"POST / HTTP/1.1\r\nHost:\r\n%b\r\n\r\n" % framing)
        self.short = False
        self.events = events
        self.request = request

    def _apply(self, request: Request, special: dict[bytes, bytes]) -> None:
        """Take the fields that say how the message is framed and what becomes of the connection."""
        if (connection := special.get(b"connection")) is not None:
            tokens = [token.strip() for token in connection.lower().split(b",")]
            keeps = request.version == "1.1" or b"keep-alive" in tokens
            request.keep_alive = keeps and b"close" not in tokens
        _frame(request, special)
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
            if request.version == "1.1" and request.ended and upgrade.lower() in self._upgrades:
                request.upgrade = upgrade


def _check_sizes(request: Request, limits: Limits) -> None:
    line = len(request.method) + len(request.target) + len(" HTTP/1.1 ")
    if line > limits.request_line:
        raise ProtocolError(414, f"the request line is longer than {limits.request_line} bytes")
    if len(request.headers) > limits.fields:
        raise ProtocolError(431, f"more than {limits.fields} header fields")
    sizes = [len(name) + len(value) + len(": ") for name, value in request.headers]
    if max(sizes, default=0) > limits.field_size:
        raise ProtocolError(431, f"a header field is longer than {limits.field_size} bytes")
    if line + sum(sizes) + 2 * len(sizes) > limits.head:
        raise ProtocolError(431, f"the request head is longer than {limits.head} bytes")


def _check_target(request: Request, host: bytes | None) -> None:
    """See to it that the request names one host and one path; afterwards the Host field holds that host."""
    target = request.target
    if host is None:
        if request.version == "1.1":
            raise ProtocolError(400, "an HTTP/1.1 request needs a Host field")
    elif not _is_host(host):
        raise ProtocolError(400, "the Host field must name one host")
    if b"#" in target:
        raise ProtocolError(400, "a request target has no fragment")
    if target[0] == _SLASH:
        return
    if request.method == "CONNECT":
        raise ProtocolError(501, "CONNECT is for proxies")
    if target == b"*" and request.method == "OPTIONS":
        return
    authority = _AUTHORITY.match(target)
    if authority is None or not _is_host(authority[1]):
        raise ProtocolError(400, "the request target must be a path or an http URL")
    # The target decides against Host (RFC 9112, 3.2.2).
    others = [field for field in request.headers if field[0].lower() != b"host"]
    request.headers = [(b"Host", authority[1]), *others]


@lru_cache(maxsize=256)
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


def _frame(request: Request, special: dict[bytes, bytes]) -> None:
    """Find out where the body ends.

    llhttp has already refused two lengths, a length beside a coding, and a length that is no number.
    """
    length = special.get(b"content-length")
    coding = special.get(b"transfer-encoding")
    if coding is not None:
        if request.version == "1.0":
            raise ProtocolError(400, "HTTP/1.0 knows no Transfer-Encoding")
        if coding.lower() != b"chunked":
            raise ProtocolError(501, "the only transfer coding known is chunked")
        request.chunked = True
        request.content_length = None
        request.ended = False
    elif length is not None:
        request.content_length = int(length)
        request.ended = request.content_length == 0


def _status_of(error: httptools.HttpParserError) -> int:
    """Return the answer to what llhttp refused; some cases it tells apart by its words alone."""
    if isinstance(error, httptools.HttpParserInvalidMethodError):
        return 501
    if str(error) in ("Invalid HTTP version", "Pause on PRI/Upgrade"):
        return 505
    return 400
