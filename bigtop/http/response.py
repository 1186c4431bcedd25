# Responses: what an application says becomes bytes that a client can read in one way only.
#
# Rule 1: nothing that an application supplied reaches the wire unchecked; a line end inside a field would let
# whoever controls the field write fields and responses of his own (response splitting).
# Rule 2: the server alone decides about framing and connection; hop-by-hop fields are its own (PEP 3333), and
# those of an application are left out. `Connection: close` is a wish that is granted.
# Rule 3: where the end of a body cannot be marked, or was announced wrongly, the connection closes.
#
# Text is str with one character per byte (latin-1), as WSGI has it; a head is encoded once, as a whole.

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from bigtop.errors import ProtocolError
from bigtop.http.answers.own_pages import Pages, own_page
from bigtop.http.messages import Request

Headers = list[tuple[str, str]]

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

# RFC 2616, 13.5.1, to which PEP 3333 refers; "trailer" is what its "trailers" is really called.
HOP_BY_HOP: Final = frozenset(
    ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te",
     "trailer", "trailers", "transfer-encoding", "upgrade")
)  # fmt: skip
_STATUS: Final = re.compile("[1-9][0-9][0-9]( .*)?", re.ASCII)
_TOKEN: Final = re.compile("[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_PRINTABLE: Final = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class ResponseError(ValueError):
    """The application's response cannot be sent as HTTP; the message names the field and what is wrong."""


class Stamp(NamedTuple):
    """The lines that the server adds to every head; and the `pages` for its own errors, if there are any."""

    server: bytes
    date: bytes
    pages: Pages | None = None


def stamp(server: str, now: float, pages: Pages | None = None) -> Stamp:
    """Return the stamp for the second of `now` (POSIX time); an empty `server` sends no Server field.

    Formatting a date costs as much as parsing a small request: see Stamps.
    """
    server_line = f"Server: {server}\r\n".encode("latin-1") if server else b""
    return Stamp(server_line, f"Date: {http_date(now)}\r\n".encode(), pages)


class Stamps:
    """Makes them. `clock` returns POSIX time. Any thread may ask."""

    __slots__ = ("_clock", "_last", "_pages", "_second", "_server")

    def __init__(self, server: str, clock: Callable[[], float], pages: Pages | None = None) -> None:
        self._server = server
        self._pages = pages
        self._clock = clock
        self._second = 0.0
        self._last = stamp(server, 0, pages)

    def now(self) -> Stamp:
        """Return the stamp of this second; always the same object."""
        now = self._clock()
        if not 0 <= now - self._second < 1:
            self._second = float(int(now))
            self._last = stamp(self._server, now, self._pages)
        return self._last


def http_date(when: float) -> str:
    """Return POSIX time as HTTP writes it (RFC 9110, 5.6.7)."""
    # Not strftime("%a %b"): those names follow the locale, and HTTP's do not.
    at = datetime.fromtimestamp(when, UTC)
    return f"{_DAYS[at.weekday()]}, {at:%d} {MONTHS[at.month - 1]} {at:%Y %H:%M:%S} GMT"


class _Kind(IntEnum):
    """What the fields of one name are to the server."""

    PLAIN = 0
    LENGTH = 1
    DATE = 2
    SERVER = 3
    HOP_BY_HOP = 4


_SPECIAL: Final = {"content-length": _Kind.LENGTH, "date": _Kind.DATE, "server": _Kind.SERVER}

_KEPT: Final = 512


_NONE: Final[tuple[Stamp | None, int, bytes]] = (None, 0, b"")


class Head:
    """A checked status line and header, to be sent later.

    `length` is the Content-Length that the application announced, `closes` whether it wants the connection
    to end, `dropped` are the names of fields that are left out. Raises ResponseError for what HTTP does not
    allow and TypeError for what is not str. A pair may be a list, too.
    """

    __slots__ = (
        "_last", "block", "closes", "code", "dropped", "has_date", "has_server", "length", "lines", "status",
    )  # fmt: skip

    def __init__(self, status: object, headers: Sequence[Any]) -> None:
        if not isinstance(status, str):
            raise _no_text(status, headers)
        self.length: int | None = None
        self.has_date = self.has_server = self.closes = False
        self.dropped: tuple[str, ...] = ()
        try:
            code, line = _first_line(status)
            lines = [line]
            for name, value in headers:
                kind, line = _line(name, value)
                if kind:
                    self._note(kind, name, value)
                lines.append(line)
        except ResponseError:
            raise
        except (TypeError, ValueError) as error:
            raise _no_text(status, headers) from error
        self.status = status
        self.code = code
        self.lines = b"".join(lines)
        self.block = b""  # the place for what h2/response_heads.py makes of it
        self._last = _NONE  # what an ordinary request got: many answers are alike

    def _note(self, kind: _Kind, name: str, value: str) -> None:
        if kind is _Kind.HOP_BY_HOP:
            if name.lower() == "connection" and "close" in value.lower():
                self.closes = True
            else:
                self.dropped = (*self.dropped, name)
        elif kind is _Kind.DATE:
            self.has_date = True
        elif kind is _Kind.SERVER:
            self.has_server = True
        elif self.length is not None:
            raise ResponseError("Content-Length is given twice")
        else:
            self.length = int(value)

    def fields(self) -> bytes:
        """Return the lines of the fields alone, for places other than a head. Without Content-Length."""
        return self.lines[self.lines.index(b"\n") + 1 :]

    def has_no_body(self, request: Request) -> bool:
        """Whether the answer to `request` ends with its head (RFC 9112, 6.3)."""
        code = self.code
        return request.method == "HEAD" or code == 204 or code == 304 or code < 200

    def frame(self, request: Request, stamp: Stamp, body_length: int | None = None) -> tuple[bytes, Framing]:
        """Return the head as bytes, and what frames the body behind it.

        `body_length` is announced if it is known here and the application announced nothing.
        """
        length = body_length if self.length is None else self.length
        usual = request.keep_alive and request.version == "1.1" and request.method != "HEAD"
        last = self._last
        if usual and last[0] is stamp and last[1] == length:
            return last[2], Framing(True, False, False, length)
        head, framing = self._frame(request, stamp, body_length)
        if usual and length is not None and framing.keep_alive and not framing.silent:
            self._last = (stamp, length, head)
        return head, framing

    def _frame(self, request: Request, stamp: Stamp, body_length: int | None) -> tuple[bytes, Framing]:
        code, length, keep_alive = self.code, self.length, request.keep_alive
        silent = self.has_no_body(request)
        if length is None and not silent:
            length = body_length
        if request.version == "2":
            return b"", StreamFraming(self, stamp, silent, length)
        chunked = False
        lines = [self.lines]
        if not self.has_server:
            lines.append(stamp.server)
        if not self.has_date:
            lines.append(stamp.date)
        if code == 204 or code < 200:
            length = None  # RFC 9110, 8.6: these must not have one; Django gives one to a 204
        if length is not None:
            lines.append(b"Content-Length: %d\r\n" % length)
        elif not silent:
            if request.version == "1.1":
                chunked = True
                lines.append(b"Transfer-Encoding: chunked\r\n")
            else:
                keep_alive = False
        if code < 200:
            keep_alive = False  # no final answer follows: the client must not wait for one
        if not keep_alive:
            lines.append(b"Connection: close\r\n")
        elif request.version == "1.0":
            lines.append(b"Connection: keep-alive\r\n")
        lines.append(b"\r\n")
        return b"".join(lines), Framing(keep_alive, silent, chunked, 0 if silent else length)


# Heads by what they were made of: an application that says the same again is spared every check. Short ones
# only, and when they are too many, all are forgotten.
_heads: Final[dict[object, Head]] = {}
_LONGEST: Final = 2048  # bytes


def head_of(status: object, headers: list[Any]) -> Head:
    """Return the head of an application's answer, made now or before."""
    key = (status, tuple(headers))
    try:
        known = _heads.get(key)
    except TypeError:  # a list in the place of a pair, for one
        return Head(status, headers)
    if known is None:
        known = Head(status, headers)
        if len(known.lines) <= _LONGEST:
            if len(_heads) >= _KEPT:
                _heads.clear()
            _heads[key] = known
    return known


class Framing:
    """The body of one response: what of the application's pieces goes on the wire, and how.

    With `left` at 0 there is no more to send, whatever the application still has to say.

    After end(): `keep_alive` says whether the connection may be used again, `sent` how many bytes of body
    went out, `fault` what the application did wrong ("" if nothing).
    """

    __slots__ = ("chunked", "fault", "keep_alive", "left", "sent", "silent")

    def __init__(self, keep_alive: bool, silent: bool, chunked: bool, length: int | None) -> None:
        self.keep_alive = keep_alive
        self.silent = silent  # the response has no body, whatever the application yields
        self.chunked = chunked
        self.left = length  # to send: of the announced length, 0 without a body; None: nobody knows
        self.sent = 0
        self.fault = ""

    @property
    def is_close_delimited(self) -> bool:
        """Whether the client takes the end of the connection for the end of the answer."""
        return self.left is None and not self.chunked

    def encode(self, piece: bytes) -> bytes:
        """Return the bytes to send for a piece of the body; b"" when there is nothing to send."""
        if self.silent or not piece:
            return b""
        if self.left is not None:
            if len(piece) > self.left:
                self.overlong(len(piece) - self.left)
                piece = piece[: self.left]
            self.left -= len(piece)
        self.sent += len(piece)
        return b"%x\r\n%b\r\n" % (len(piece), piece) if self.chunked else piece

    def overlong(self, excess: int) -> None:
        self.fault = f"the body is at least {excess} bytes longer than its Content-Length"

    def cut(self, missing: int) -> None:
        self.fault = f"the body is {missing} bytes shorter than its Content-Length"
        self.keep_alive = False  # only the end of the connection tells the client that something is missing

    def whole(self, piece: bytes) -> bytes:
        """Return the bytes for a body that is this piece: encode() and end() in one."""
        if self.left == len(piece) and not self.silent:
            self.sent = self.left
            self.left = 0
            return piece
        return self.encode(piece) + self.end()

    def skip(self, size: int) -> int:
        """Count a piece of `size` bytes that does not pass through here; return how many of them to send."""
        if self.silent:
            return 0
        count = size if self.left is None else min(size, self.left)
        if self.left is not None:
            self.left -= count
        self.sent += count
        return count

    def end(self) -> bytes:
        """Return the bytes that end the body."""
        if self.silent:
            return b""
        if self.left:
            self.cut(self.left)
        return b"0\r\n\r\n" if self.chunked else b""


class StreamFraming(Framing):
    """That of a stream of HTTP/2. Its owner encodes the `head` (h2/response_heads.py), with that `stamp` and
    the Content-Length `announced`. Its end is marked by itself; none is good once `keep_alive` is False."""

    __slots__ = ("announced", "head", "stamp")

    def __init__(self, head: Head, stamp: Stamp, silent: bool, announced: int | None) -> None:
        Framing.__init__(self, True, silent, False, 0 if silent else announced)
        self.head, self.stamp = head, stamp
        self.announced = announced


def refusal(error: ProtocolError, stamp: Stamp) -> bytes:
    """Return the answer to a client that broke HTTP."""
    return error_page(error.status, str(error), stamp, fields=error.fields)[0]


def error_page(
    status: int,
    reason: str,
    stamp: Stamp,
    method: str = "",
    fields: tuple[tuple[str, str], ...] = (),
) -> tuple[bytes, Framing]:
    """Return a whole response of the server's own to `method`, and its framing, for who counts it."""
    head_only = method == "HEAD"
    phrase = HTTPStatus(status).phrase
    page = own_page(status, reason, stamp.pages)
    body = page.body
    head = (
        f"HTTP/1.1 {status} {phrase}\r\nContent-Type: {page.kind}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n"
    )
    head += "".join(f"{name}: {value}\r\n" for name, value in fields)
    framing = Framing(False, head_only, False, 0 if head_only else len(body))
    return head.encode() + stamp.server + stamp.date + b"\r\n" + framing.whole(body), framing


# Applications say the same again and again: what was found good is remembered, a bounded number of each.


@lru_cache(maxsize=_KEPT)
def _first_line(status: str) -> tuple[int, bytes]:
    """Check a status; return its code and the line."""
    if _STATUS.fullmatch(status) is None:
        raise ResponseError(f"status {status!r}: wanted three digits, a space and a reason")
    line = f"HTTP/1.1 {status}{'' if len(status) > 3 else ' '}"
    if not _is_text(line):
        raise ResponseError(f"status {status!r} has control or non-latin-1 characters")
    return int(status[:3]), line.encode("latin-1") + b"\r\n"


@lru_cache(maxsize=_KEPT)
def _line(name: object, value: object) -> tuple[_Kind, bytes]:
    """Check a field; return what it is to the server, and its line, b"" for one that is the server's."""
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError  # see _no_text()
    if _TOKEN.fullmatch(name) is None:
        raise ResponseError(f"header name {name!r} has characters that a name cannot have")
    lower = name.lower()
    if lower in HOP_BY_HOP:
        return _Kind.HOP_BY_HOP, b""
    kind = _SPECIAL.get(lower, _Kind.PLAIN)
    if kind is _Kind.LENGTH:
        if not (value.isascii() and value.isdigit()):
            raise ResponseError(f"Content-Length {value!r}: wanted a number")
        return kind, b""
    if not _is_text(value):
        raise ResponseError(f"value of header {name!r} has control or non-latin-1 characters: {value!r}")
    return kind, f"{name}: {value}\r\n".encode("latin-1")


def _is_text(value: str) -> bool:
    try:
        return not value.encode("latin-1").translate(None, _PRINTABLE)
    except UnicodeEncodeError:
        return False


def _no_text(status: object, headers: Sequence[Any]) -> TypeError:
    """Find what is no str, and may not even be something that can be looked up."""
    if not isinstance(status, str):
        return TypeError(f"status is {type(status).__name__}, not str")
    for pair in headers:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            return TypeError(f"header {pair!r} is not a pair of a name and a value")
        name, value = pair
        if not isinstance(name, str):
            return TypeError(f"header name {name!r} is {type(name).__name__}, not str")
        if not isinstance(value, str):
            return TypeError(f"value of header {name!r} is {type(value).__name__}, not str")
    return TypeError("headers are pairs of a name and a value")
