# HTTP/1.1 without I/O: bytes that a client sent become events (RFC 9112; see messages.py for the events).
#
# Rule 1: what comes out does not depend on how the bytes were cut. So a rule about bytes that arrive one by
# one is a rule about whole lines too, and the first byte that breaks one decides what the error is.
# Rule 2: an error is final. The engine keeps it, is CLOSED, and ignores what comes then; its owner answers.
# Rule 3: nothing that a client sends makes the engine hold more than a head (limits.py).
#
# Nearly every request comes in one piece and has no body: the straight way through feed(), _begin(), _take().

from __future__ import annotations

from collections.abc import Container
from enum import Enum
from typing import Final

from bigtop.errors import ProtocolError
from bigtop.http.chunked import Chunks
from bigtop.http.head import (
    assemble,
    check_start,
    check_text,
    fields_of,
    known_headers,
    known_lines,
    line_of,
    parse,
    read_line,
)
from bigtop.http.limits import Limits
from bigtop.http.memo import LONGEST
from bigtop.http.messages import END, Event, Fields, Request, piece_of
from bigtop.http.paths.body_limits import body_limit
from bigtop.http.policy import Policy


class Phase(Enum):
    """Where in a message the connection stands; tells its owner which time limit runs."""

    IDLE = "idle"  # at a request boundary: nothing of the next request has come (empty lines aside)
    HEAD = "head"
    BODY = "body"
    CLOSED = "closed"  # after the last request, or after an error: what comes now is ignored
    UPGRADED = "upgraded"  # the client speaks another protocol from here on: see Engine.take_rest()
    ELSEWHERE = "elsewhere"  # what comes is a request for another application: see http/paths/routes.py
    PRIOR_KNOWLEDGE = "prior knowledge"  # the client speaks HTTP/2 without having asked: see take_rest()


# By themselves: an enum's member costs a look-up each time it is named.
IDLE: Final[Phase] = Phase.IDLE
HEAD: Final[Phase] = Phase.HEAD
BODY: Final[Phase] = Phase.BODY
CLOSED: Final[Phase] = Phase.CLOSED
UPGRADED: Final[Phase] = Phase.UPGRADED
ELSEWHERE: Final[Phase] = Phase.ELSEWHERE
PRIOR_KNOWLEDGE: Final[Phase] = Phase.PRIOR_KNOWLEDGE

MOST_BLANK: Final = 64  # bytes of empty lines before a request
LONGEST_LINE: Final = 2048  # bytes of a line that is told of
# With what HTTP/2 begins where no TLS handshake agreed on it (RFC 9113, 3.3). Among the `upgrades` of an
# engine it allows that; those that clients ask for are in lower case.
PREFACE: Final = b"PRI * HTTP/2.0"
FRESH: Final = -1  # a head or a body began, or ended, in this feed: see Engine.spent
_CRLF: Final = b"\r\n"
_SPACE: Final = ord(" ")
_BLANK: Final = b"\r\n\r\n"


class Engine:
    """One client connection. `upgrades` names the protocols (lower case) that its owner will take over, with
    PREFACE where it may begin with HTTP/2; `policy` says which requests are let through, None: all."""

    __slots__ = (
        "_chunks",
        "_keeps",
        "_left",
        "_limits",
        "_line",
        "_lines",
        "_rest",
        "_short",
        "_upgrades",
        "error",
        "phase",
        "policy",
        "spent",
    )

    def __init__(self, limits: Limits, upgrades: Container[bytes] = (), policy: Policy | None = None) -> None:
        self._limits = limits
        # A head of that size breaks no limit of size, and is not too long to be remembered.
        self._short = min(limits.request_line, limits.field_size, limits.head, LONGEST)
        self._upgrades = upgrades
        self.policy = policy
        self.phase = IDLE
        self.error: ProtocolError | None = None
        self._line = b""  # that which the head with the error began with
        self._rest = b""  # what arrived of a line that is not whole; of another protocol, after an upgrade
        self._lines: list[bytes] | None = None  # of a head that arrives in pieces
        self._keeps = True  # the connection goes on behind the present message
        self._left = 0  # bytes that are to come of a body with a length
        self._chunks: Chunks | None = None  # a body in chunks
        # Bytes of the head or the body that arrives, without its first piece; before it of empty lines.
        self.spent = 0

    def feed(self, data: bytes) -> list[Event]:
        """Return what `data` brings, in the order of the bytes; look at `error` and `phase` afterwards."""
        events: list[Event] = []
        came = len(data)
        if self._rest:
            data, self._rest = self._rest + data, b""
        at = 0
        try:
            while at < len(data):
                phase = self.phase
                if phase is IDLE:
                    at = self._begin(data, at, events)
                elif phase is HEAD:
                    at = self._go_on(data, at, events)
                elif phase is BODY:
                    at = self._body(data, at, events)
                else:
                    break
        except ProtocolError as error:
            # A new object: the one that was raised holds the frames, and so this engine, in a cycle.
            self._fail(ProtocolError(error.status, str(error), error.fields), data, at)
        if self.phase is UPGRADED:
            self._rest = data[at:]
        elif self.phase is ELSEWHERE:
            self._rest = b"".join([line + _CRLF for line in self._lines or ()]) + data[at:]
            self._lines = None
        elif self.spent == FRESH:
            self.spent = 0
        elif self.phase is not IDLE:
            self.spent += came
        return events

    def take_rest(self) -> bytes:
        """Return what arrived after the head of an accepted upgrade, or from the head of a request on that is
        another application's, or from the beginning of HTTP/2 on, and was not yet taken."""
        rest, self._rest = self._rest, b""
        return rest

    @property
    def line(self) -> bytes:
        """The first line, or its beginning, of the head that broke HTTP or that arrives; b"" without one."""
        return (self._line or self._head_line()).lstrip().partition(b"\n")[0].rstrip(b"\r")[:LONGEST_LINE]

    def _head_line(self) -> bytes:
        return self._lines[0] if self._lines else self._rest if self.phase in (HEAD, ELSEWHERE) else b""

    # ---- a head

    def _begin(self, data: bytes, at: int, events: list[Event]) -> int:
        """Take the head that begins at `at`; return how far that went. The other readers do the same."""
        if not at and data[0] > _SPACE and len(data) <= self._short + 2:
            line, _, header = data.partition(_CRLF)
            fields = known_headers.get(header)
            if fields is not None:  # its empty line included, so nothing is behind it
                return len(data) if self._take(self._read(line, header, fields), events) else at
        end = data.find(_BLANK, at)
        if end < 0 or data[at] in _CRLF:
            # Some clients send a line end too many behind a body (RFC 9112, 2.2).
            begin = len(data) - len(data[at:].lstrip(_CRLF))
            if begin == len(data):
                self._skip(begin - at)
                return begin
            self._skip(begin - at)
            at = begin
            end = data.find(_BLANK, at)
        self.spent = FRESH
        if end < 0:
            self.phase = HEAD
            return self._go_on(data, at, events)
        eol = data.find(_CRLF, at)
        request = self._read(data[at:eol], data[eol + 2 : end + 4], None)
        return end + 4 if self._take(request, events) else at

    @property
    def has_only_blanks(self) -> bool:
        """Whether empty lines are all that came since the last request."""
        return self.phase is IDLE and self.spent > 0

    def _skip(self, size: int) -> None:
        """Pass over so many bytes of empty lines."""
        self.spent = max(self.spent, 0) + size
        if self.spent > MOST_BLANK:
            raise ProtocolError(400, "too many empty lines before a request")

    def _read(self, line: bytes, header: bytes, known: Fields | None) -> Request:
        """Return the request with that first line and that header, which has its empty line with it; `known`
        is what that header says, if it came before."""
        if len(line) + len(header) <= self._short:
            try:
                fields = known or fields_of(header)
                if len(fields.headers) <= self._limits.fields:
                    return assemble(known_lines.get(line) or line_of(line), fields)
            except ProtocolError:
                pass  # which rule it broke first is found out below
        lines = [line, *header[:-4].split(_CRLF)] if len(header) > 2 else [line]
        self._examine(lines)
        return parse(lines)

    def _examine(self, lines: list[bytes]) -> None:
        """Look at each line as if it had come alone."""
        for index, line in enumerate(lines):
            self._check(line, lines[:index], whole=True)

    def _check(self, line: bytes, before: list[bytes], *, whole: bool) -> None:
        """Refuse the line behind `before`, or what came of it, for what it is made of and for its size."""
        limits = self._limits
        room = max(0, limits.head - sum(map(len, before)) - 2 * len(before))
        if not before:
            check_start(line, whole)
            check_text(line, min(limits.request_line, room), "request line", 414)
            if whole:
                read_line(line)
        else:
            check_text(line, min(limits.field_size, room))
        if whole and len(before) > limits.fields:
            raise ProtocolError(431, f"more than {limits.fields} header fields")

    def _go_on(self, data: bytes, at: int, events: list[Event]) -> int:
        """A head comes in pieces."""
        lines = self._lines
        if lines is None:
            lines = self._lines = []
        while (end := data.find(_CRLF, at)) > at:
            self._check(data[at:end], lines, whole=True)
            lines.append(data[at:end])
            at = end + 2
        if end == at:
            if not self._take(parse(lines), events):
                return at
            self._lines = None
            return at + 2
        rest = data[at:]
        self._check(rest.removesuffix(b"\r"), lines, whole=False)
        self._rest = rest
        return len(data)

    def _take(self, request: Request, events: list[Event]) -> bool:
        """The head is whole; return whether it is used up."""
        most = 0 if request.ended else body_limit(self._limits, request.target)
        if 0 < most < (request.content_length or 0):
            raise ProtocolError(413, f"the body is longer than {most} bytes")
        policy, fields = self.policy, request.fields
        if policy is not None and (fields is None or fields.passed is not policy):
            policy.check(request)
        events.append(request)
        self.spent = FRESH
        self._keeps = request.keep_alive
        upgrade, request.upgrade = request.upgrade, None
        if not request.ended:
            self.phase = BODY
            self._left = request.content_length or 0
            self._chunks = Chunks(most, self._limits.head) if request.chunked else None
        # A server may ignore an upgrade (RFC 9110, 7.8), and clients such as `curl --http2` count on it.
        elif upgrade is not None and upgrade.lower() in self._upgrades:
            request.upgrade = upgrade
            self.phase = UPGRADED
        else:
            self.phase = IDLE if self._keeps else CLOSED
        return True

    # ---- a body

    def _body(self, data: bytes, at: int, events: list[Event]) -> int:
        if self._chunks is not None:
            end = self._chunks.feed(data, at, events)
            if not events or events[-1] is not END:
                self._rest = data[end:]
                return len(data)
        else:
            end = min(len(data), at + self._left)
            events.append(piece_of(data, at, end))
            self._left -= end - at
            if self._left:
                return end
            events.append(END)
        self._over()
        return end

    # ---- the end

    def _over(self) -> None:
        """A message is complete. Requests behind one that closes the connection are not answered."""
        self.spent = FRESH
        self.phase = IDLE if self._keeps else CLOSED

    def _fail(self, error: ProtocolError, data: bytes = b"", at: int = 0) -> None:
        if error.status == 505 and PREFACE in self._upgrades and data.startswith(PREFACE, at):
            self.phase = PRIOR_KNOWLEDGE
            self._rest = data[at:]
            self._lines = None
            return
        if self.phase is not BODY:
            self._line = self._head_line() or data[at : at + LONGEST_LINE]
        self.error = error
        self.phase = CLOSED
        self._rest = b""
        self._lines = None
