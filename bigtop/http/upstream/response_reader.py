# Reader of answers of an upstream: bytes become events (RFC 9112), as engine.py has it for requests.
#
# feed() and end() return a list of events in the order of the bytes:
#     ResponseHead   an answer on the way (103), the switch to another protocol (101), or the final answer
#     bytes          a piece of its body
#     END            the answer is complete
#
# Rule 1: what comes out does not depend on how the bytes were cut, up to a fault: what came together with one
# is not given out, so that a client may still be told.
# Rule 2: where two readers may understand an answer differently it is refused, since whoever controls a part
# of it could give clients answers to requests of others (response smuggling): two lengths, a length beside
# chunks, bare line ends, folded lines, blanks before a colon, controls.
# Rule 3: bytes behind an answer belong to no request. The answer counts, the connection is not used again.

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from bigtop.errors import ProtocolError
from bigtop.http.chunked import Chunks
from bigtop.http.head import TEXT
from bigtop.http.messages import END, End, Event
from bigtop.http.response import HOP_BY_HOP, Headers

MOST_HEAD: Final = 65536  # bytes of a head; nginx: 4k or 8k
MOST_FIELDS: Final = 256
MOST_INTERIM: Final = 32  # answers on the way (1xx) before the final one
_DIGITS: Final = 18  # of a length, as in head.py

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: (.*))?")
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CRLF: Final = b"\r\n"
_BLANK: Final = b"\r\n\r\n"
# Fields that say something about the connection, or that nobody outside needs to know.
_OWN: Final = HOP_BY_HOP | {"server"}


class ResponsePhase(Enum):
    """Where in an answer the connection stands."""

    HEAD = "head"
    BODY = "body"
    OVER = "over"  # the answer is complete
    SWITCHED = "switched"  # another protocol is spoken from here on: see take_rest()


HEAD: Final[ResponsePhase] = ResponsePhase.HEAD
BODY: Final[ResponsePhase] = ResponsePhase.BODY
OVER: Final[ResponsePhase] = ResponsePhase.OVER
SWITCHED: Final[ResponsePhase] = ResponsePhase.SWITCHED


class ResponseHead:
    """The head of an answer. `headers` are those for the client: without fields of the connection.

    `length` is the Content-Length, None without one; `protocol` is what a 101 switches to, in lower case.
    """

    __slots__ = ("chunked", "code", "headers", "keeps", "length", "protocol", "status")

    def __init__(self, code: int, status: str) -> None:
        self.code = code
        self.status = status  # "200 OK"
        self.headers: Headers = []
        self.length: int | None = None
        self.chunked = False
        self.keeps = False  # the connection may be used again
        self.protocol = b""


ResponseEvent = ResponseHead | bytes | End


class ResponseReader:
    """One answer, to a request of this method. `upgrade` is the protocol that the request asked for."""

    __slots__ = (
        "_chunks",
        "_interim",
        "_left",
        "_method",
        "_rest",
        "_upgrade",
        "has_begun",
        "keeps",
        "phase",
    )

    def __init__(self, method: str, upgrade: bytes | None = None) -> None:
        self._method = method
        self._upgrade = upgrade
        self._rest = b""  # of a head, or of a line between chunks, that is not whole
        self._interim = 0
        self._left: int | None = None  # bytes of the body that are to come; None: all up to the end
        self._chunks: Chunks | None = None
        self.has_begun = False  # something came
        self.phase = HEAD
        self.keeps = False  # when it is over: the connection may be used again

    def feed(self, data: bytes) -> list[ResponseEvent]:
        """Return what `data` brings. ProtocolError: it is no answer of HTTP; nothing more may be fed then."""
        self.has_begun = self.has_begun or bool(data)
        if self._rest:
            data, self._rest = self._rest + data, b""
        events: list[ResponseEvent] = []
        at = 0
        while at < len(data):
            phase = self.phase
            if phase is HEAD:
                at = self._head(data, at, events)
            elif phase is BODY:
                at = self._body(data, at, events)
            elif phase is SWITCHED:
                self._rest = data[at:]
                break
            else:
                self.keeps = False
                break
        return events

    def end(self) -> list[ResponseEvent]:
        """Return what the end of the connection brings. ProtocolError: the answer is not complete."""
        self.keeps = False
        if self.phase is BODY and self._left is None and self._chunks is None:
            self.phase = OVER
            return [END]
        if self.phase is HEAD:
            raise ProtocolError(502, "it closed the connection before it answered")
        if self.phase is BODY:
            raise ProtocolError(502, "it closed the connection in the middle of its answer")
        return []

    def take_rest(self) -> bytes:
        """Return what came behind the head of a switch."""
        rest, self._rest = self._rest, b""
        return rest

    # ---- a head

    def _head(self, data: bytes, at: int, events: list[ResponseEvent]) -> int:
        end = data.find(_BLANK, at)
        size = (len(data) if end < 0 else end) - at
        if size > MOST_HEAD:
            raise ProtocolError(502, f"the head of its answer is longer than {MOST_HEAD} bytes")
        if end < 0:
            self._rest = data[at:]
            return len(data)
        head = _parse(data[at:end].split(_CRLF))
        if head.code >= 200:
            self._begin(head)
            events.append(head)
            if self.phase is OVER:
                events.append(END)
        elif head.code == 101:
            asked = self._upgrade
            if asked is None or head.protocol != asked.lower():
                raise ProtocolError(502, "it switches to a protocol that it was not asked for")
            self.phase = SWITCHED
            events.append(head)
        else:
            self._interim += 1
            if self._interim > MOST_INTERIM:
                raise ProtocolError(502, "it sends too many answers on the way (1xx)")
            if head.code == 103:
                events.append(head)
        return end + 4

    def _begin(self, head: ResponseHead) -> None:
        """Find out where the body ends (RFC 9112, 6.3)."""
        self.keeps = head.keeps
        if self._method == "HEAD" or head.code == 204 or head.code == 304:
            if head.code == 204 and (head.chunked or head.length):
                self.keeps = False  # whatever it thinks will follow
            self.phase = OVER
            return
        if head.chunked:
            self._chunks = Chunks(0, MOST_HEAD)
        elif head.length is None:
            self.keeps = False
        elif head.length == 0:
            self.phase = OVER
            return
        self._left = head.length
        self.phase = BODY

    # ---- a body

    def _body(self, data: bytes, at: int, events: list[ResponseEvent]) -> int:
        chunks = self._chunks
        if chunks is not None:
            return self._chunked(chunks, data, at, events)
        left = self._left
        if left is None:
            events.append(data[at:])
            return len(data)
        end = min(len(data), at + left)
        events.append(data[at:end])
        self._left = left - (end - at)
        if end - at == left:
            self.phase = OVER
            events.append(END)
        return end

    def _chunked(self, chunks: Chunks, data: bytes, at: int, events: list[ResponseEvent]) -> int:
        pieces: list[Event] = []
        try:
            end = chunks.feed(data, at, pieces)
        except ProtocolError as error:
            raise ProtocolError(502, f"its answer in chunks is broken: {error}") from None
        for piece in pieces:
            if isinstance(piece, bytes | memoryview):
                events.append(bytes(piece))
        if pieces and pieces[-1] is END:
            self.phase = OVER
            events.append(END)
            return end
        self._rest = data[end:]
        return len(data)


def _parse(lines: list[bytes]) -> ResponseHead:
    """Return the head that has these lines."""
    match = _STATUS_LINE.fullmatch(lines[0])
    if match is None or lines[0].translate(None, TEXT):
        raise ProtocolError(502, "its answer does not begin with a status line of HTTP/1.1")
    if len(lines) > MOST_FIELDS + 1:
        raise ProtocolError(502, f"its answer has more than {MOST_FIELDS} fields")
    code = int(match[2])
    reason = (match[3] or b"").decode("latin-1")
    head = ResponseHead(code, f"{code} {reason}")
    special: dict[str, list[bytes]] = {}
    pairs: Headers = []
    for line in lines[1:]:
        name, value = _field(line)
        lower = name.lower()
        if lower in _SPECIAL:
            special.setdefault(lower, []).append(value)
        pairs.append((name, value.decode("latin-1")))
    _frame(head, lines[0].startswith(b"HTTP/1.1"), special)
    options = _options(special)
    dropped = _OWN | options
    head.headers = [pair for pair in pairs if pair[0].lower() not in dropped]
    if code == 101 and "upgrade" in options:
        head.protocol = b", ".join(special.get("upgrade", [])).lower()
    return head


_SPECIAL: Final = ("connection", "content-length", "transfer-encoding", "upgrade")
# What a Connection field cannot take out of an answer.
_STAYS: Final = frozenset(("content-length", "content-type", "date", "set-cookie"))


def _field(line: bytes) -> tuple[str, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or _NAME.fullmatch(name) is None:
        raise ProtocolError(502, "a field of its answer is no name, colon and value")
    if line.translate(None, TEXT):
        raise ProtocolError(502, "a field of its answer holds a control character, or a bare CR or LF")
    return name.decode("latin-1"), value.strip(b" \t")


def _options(special: dict[str, list[bytes]]) -> frozenset[str]:
    """Return what the Connection fields name, in lower case."""
    named = b",".join(special.get("connection", [])).decode("latin-1").lower().split(",")
    return frozenset(one.strip(" \t") for one in named) - _STAYS


def _frame(head: ResponseHead, is_new: bool, special: dict[str, list[bytes]]) -> None:
    """Take what says where the body ends, and whether the connection goes on; `is_new`: it is HTTP/1.1."""
    lengths, codings = special.get("content-length"), special.get("transfer-encoding")
    if codings is not None:
        if lengths is not None:
            raise ProtocolError(502, "its answer has a Content-Length and a Transfer-Encoding")
        if not is_new or b", ".join(codings).lower() != b"chunked":
            raise ProtocolError(502, "its answer has a Transfer-Encoding that is not just chunked")
        head.chunked = True
    elif lengths is not None:
        length = lengths[0]
        # isdigit() of bytes knows ASCII digits alone.
        if len(lengths) > 1 or not length.isdigit() or len(length.lstrip(b"0")) > _DIGITS:
            raise ProtocolError(502, "the Content-Length of its answer is not one number")
        head.length = int(length)
    head.keeps = is_new and "close" not in _options(special)


def switching(head: ResponseHead) -> bytes:
    """Return a 101 as the client is sent it."""
    lines = [f"HTTP/1.1 {head.status}\r\n", *(f"{name}: {value}\r\n" for name, value in head.headers)]
    return "".join(lines).encode("latin-1") + b"Connection: Upgrade\r\nUpgrade: %b\r\n\r\n" % head.protocol
