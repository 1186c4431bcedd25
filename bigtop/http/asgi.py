# ASGI without a server: the application's messages become bytes (ASGI 3.0, HTTP spec 2.5). Requests are in
# scope.py.
#
# Rule 1: no I/O and no event loop. Bytes to send are returned; who sends them waits for the client.
# Rule 2: a head is not given out before the first piece of body is known, as the specification asks: so most
# answers are one piece, and an application that fails in between can still be answered for.

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from bigtop.http.known import LONGEST, remember
from bigtop.http.messages import Request
from bigtop.http.response import Framing, Head, ResponseError, Stamps

Message = Mapping[str, Any]
Pairs = Iterable[tuple[bytes, bytes]]

# Fields that are the server's own, as they were spelled: None. The names of all others as str. Applications
# use a few dozen.
_names: Final[dict[bytes, str | None]] = {}
_OWN: Final = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)


def status_line(code: int) -> str:
    """Return "200 OK"; a code without a registered reason has none."""
    if not isinstance(code, int):
        raise ResponseError(f"status {code!r}: wanted a number")
    try:
        return f"{int(code)} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(int(code))


def text_fields(pairs: Pairs) -> tuple[list[tuple[str, str]], bool]:
    """Return the fields that are the application's to set, as str; and whether it asked for a close.

    The specification has servers ignore fields that belong to the connection, and frameworks that pass on
    another server's answer count on it.
    """
    fields: list[tuple[str, str]] = []
    closes = False
    for raw, value in pairs:
        name = _names.get(raw, "")
        if name == "":
            name = _name_of(raw)
        if name is not None:
            fields.append((name, value.decode("latin-1")))
        elif raw.lower() == b"connection" and b"close" in value.lower():
            closes = True
    return fields, closes


def _name_of(raw: bytes) -> str | None:
    if not isinstance(raw, bytes):
        raise TypeError(f"header name {raw!r} is {type(raw).__name__}, not bytes")
    text = raw.decode("latin-1")
    name = None if text.lower() in _OWN else text
    if len(raw) <= LONGEST:
        remember(_names, raw, name)
    return name


class Answer:
    """One request's answer: what the application's messages mean on the wire.

    Every method returns bytes for the client, b"" if none, and raises RuntimeError for a message that does
    not fit, ResponseError or TypeError for one that HTTP cannot carry.
    """

    __slots__ = (
        "_head",
        "_over",
        "_request",
        "_stamps",
        "_trailers",
        "complete",
        "framing",
        "headers",
        "status",
    )

    def __init__(self, request: Request, stamps: Stamps) -> None:
        self._request = request
        self._stamps = stamps
        self._head: Head | None = None
        self._trailers = False  # the body is followed by fields
        self._over = False  # the body is
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.framing: Framing | None = None  # set when the head was given out: there is no way back then
        self.complete = False

    def start(self, message: Message) -> None:
        """Take http.response.start (or its like); nothing is sent yet."""
        if self._head is not None:
            raise RuntimeError(f"{message['type']} was sent a second time")
        trailers = "trailers" in message and message["trailers"] and _takes_trailers(self._request)
        fields = message.get("headers", ())
        try:
            head, self.headers, closes = _head_of(message["status"], tuple(fields), trailers)
        except TypeError:  # pairs may be lists, or something is wrong with them
            fields = tuple((name, value) for name, value in fields)
            head, self.headers, closes = _head(message["status"], fields, trailers)
        self._trailers = trailers
        self._head = head
        self.status = head.code
        if closes:
            self._request.keep_alive = False

    def body(self, message: Message) -> bytes:
        """Take http.response.body (or its like)."""
        piece = message.get("body", b"")
        if type(piece) is not bytes:
            piece = _as_bytes(piece)
        more = message.get("more_body", False)
        framing = self.framing
        if framing is None:
            length = None if more or self._trailers else len(piece)
            if self._head is None:
                raise RuntimeError(f"{message['type']} was sent before the start of the answer")
            data, framing = self._head.frame(self._request, self._stamps.now(), length)
            self.framing = framing
            if not more and not self._trailers:
                self._over = self.complete = True
                return data + framing.whole(piece)
            data += framing.encode(piece)
        else:
            self._check_open(message)
            data = framing.encode(piece)
        return data if more else data + self._end(framing)

    def large_body(self, message: Message, piece: bytes) -> tuple[bytes, bytes, bytes]:
        """Take http.response.body (or its like) whose `piece` is not to be copied; return what goes before
        it, as much of it as goes out, and what goes behind it."""
        more = message.get("more_body", False)
        before, count = self.file(message, len(piece), more)
        after = self.after_file(message, count, more)
        framing = self.framing
        assert framing is not None, "file() saw to that"
        excess = len(piece) - count
        if excess and not framing.silent:
            framing.overlong(excess)
        return before, piece[:count] if excess else piece, after

    def file(self, message: Message, size: int, more: bool) -> tuple[bytes, int]:
        """Take a message whose body the server sends from a file by itself; return what goes before it, and
        how many of its `size` bytes to send. after_file() follows."""
        framing, head = self.framing, b""
        if framing is None:
            head, framing = self._frame(message, None if more or self._trailers else size)
        else:
            self._check_open(message)
        count = framing.skip(size)
        return (head + b"%x\r\n" % count if framing.chunked and count else head), count

    def after_file(self, message: Message, count: int, more: bool) -> bytes:
        """Return what goes behind the `count` bytes of a file()."""
        framing = self.framing
        assert framing is not None, "file() comes first"
        data = b"\r\n" if framing.chunked and count else b""
        return data if more else data + self._end(framing)

    def trailers(self, message: Message) -> bytes:
        """Take http.response.trailers."""
        framing = self.framing
        if framing is None or not self._over:
            raise RuntimeError("http.response.trailers was sent before the end of the body")
        if not (self._trailers and framing.chunked):
            return b""  # the client cannot read them
        if self.complete:
            raise RuntimeError("http.response.trailers was sent after the answer was complete")
        lines = _field_lines(message.get("headers", ()))
        self.complete = not message.get("more_trailers", False)
        return lines + b"\r\n" if self.complete else lines

    def early_hint(self, message: Message) -> bytes:
        """Take http.response.early_hint: 103 (RFC 8297), which HTTP/1.0 does not know."""
        if self._head is not None:
            raise RuntimeError("http.response.early_hint was sent after http.response.start")
        if self._request.version == "1.0":
            return b""
        lines = _field_lines((b"Link", link) for link in message["links"])
        return b"HTTP/1.1 103 Early Hints\r\n" + lines + b"\r\n"

    def _frame(self, message: Message, length: int | None) -> tuple[bytes, Framing]:
        if self._head is None:
            raise RuntimeError(f"{message['type']} was sent before the start of the answer")
        head, self.framing = self._head.frame(self._request, self._stamps.now(), length)
        return head, self.framing

    def _check_open(self, message: Message) -> None:
        if self._over:
            raise RuntimeError(f"{message['type']} was sent after the body was complete")

    def _end(self, framing: Framing) -> bytes:
        self._over = True
        if self._trailers and framing.chunked:
            return b"0\r\n"
        self.complete = True
        return framing.end()


_Prepared = tuple[Head, list[tuple[str, str]], bool]


def _head(code: int, fields: tuple[tuple[bytes, bytes], ...], trailers: bool) -> _Prepared:
    """Return a head, its fields as text, and whether they ask for a close."""
    texts, closes = text_fields(fields)
    if trailers:  # they need chunks, and those exclude a length
        texts = [field for field in texts if field[0].lower() != "content-length"]
    return Head(status_line(code), texts), texts, closes


_heads: Final[dict[object, _Prepared]] = {}  # see known.py


def _head_of(code: int, fields: tuple[tuple[bytes, bytes], ...], trailers: bool) -> _Prepared:
    """Return what _head() does, made now or before."""
    key = (code, fields, trailers)
    known = _heads.get(key)
    if known is None:
        known = _head(code, fields, trailers)
        if len(known[0].lines) <= LONGEST:
            remember(_heads, key, known)
    return known


def _as_bytes(piece: object) -> bytes:
    if not isinstance(piece, (bytes, bytearray, memoryview)):
        raise TypeError(f"the body is {type(piece).__name__}, not bytes")
    return bytes(piece)


def _takes_trailers(request: Request) -> bool:
    fields = [value for name, value in request.headers if name.lower() == b"te"]
    return request.version == "1.1" and b"trailers" in b",".join(fields).lower()


def _field_lines(pairs: Pairs) -> bytes:
    """Return fields that stand outside of a head; those of the connection are left out there as well."""
    fields, _closes = text_fields(pairs)
    return Head("200", fields).fields()
