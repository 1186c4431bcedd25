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

from bigtop.http.handlers import refusal_of
from bigtop.http.memo import LONGEST, remember
from bigtop.http.messages import Request
from bigtop.http.response import Framing, Head, Headers, ResponseError, Stamps, error_page

Message = Mapping[str, Any]

_names: Final[dict[bytes, str]] = {}  # of fields, as str: applications use a few dozen


def no_message(message: object) -> TypeError:
    """Return the error for what an application sent and is no message, or one without a type."""
    if not isinstance(message, Mapping):
        return TypeError(f"{message!r:.100} was sent, which is {type(message).__name__}, not a dict")
    return TypeError(
        f"a message without 'type' was sent; it has {', '.join(map(repr, message)) or 'nothing'}"
    )


def status_line(code: object) -> str:
    """Return "200 OK"; a code without a registered reason has none. ResponseError: it is no code."""
    if not isinstance(code, int):
        raise ResponseError(f"status {code!r}: wanted a number")
    number = int(code)
    if not 100 <= number <= 999:
        raise ResponseError(f"status {number}: wanted three digits")
    try:
        return f"{number} {HTTPStatus(number).phrase}"
    except ValueError:
        return str(number)


def text_fields(pairs: object) -> list[tuple[str, str]]:
    """Return the fields of a message as str; TypeError says what was wrong with which."""
    if not isinstance(pairs, Iterable) or isinstance(pairs, (str, bytes)):
        raise TypeError(f"headers is {type(pairs).__name__}, not a list of pairs")
    fields: list[tuple[str, str]] = []
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"header {pair!r} is not a pair of a name and a value")
        raw, value = pair
        name = _names.get(raw) if type(raw) is bytes else None
        if name is None:
            name = _name_of(raw)
        if not isinstance(value, bytes):
            raise TypeError(f"value of header {name!r} is {type(value).__name__}, not bytes")
        fields.append((name, value.decode("latin-1")))
    return fields


def _name_of(raw: object) -> str:
    if not isinstance(raw, bytes):
        raise TypeError(f"header name {raw!r} is {type(raw).__name__}, not bytes")
    name = raw.decode("latin-1")
    if len(raw) <= LONGEST:
        remember(_names, raw, name)
    return name


def early_hints(headers: Headers) -> bytes:
    """Return the head of a 103 (RFC 8297); raises as Head does for what cannot be sent."""
    return b"HTTP/1.1 103 Early Hints\r\n" + Head("103 Early Hints", headers).fields() + b"\r\n"


class Answer:
    """One request's answer: what the application's messages mean on the wire.

    Every method returns bytes for the client, b"" if none, and raises RuntimeError for a message that does
    not fit, ResponseError or TypeError for one that HTTP cannot carry.

    An answer is `complete` when nothing more can be sent: with the application's last word, or before that,
    without a body or with all of the announced length out. It is `over` when the application has said all of
    its body.
    """

    __slots__ = (
        "_head",
        "_request",
        "_stamps",
        "_trailers",
        "complete",
        "framing",
        "headers",
        "over",
        "status",
        "trailing",
    )

    def __init__(self, request: Request, stamps: Stamps) -> None:
        self._request = request
        self._stamps = stamps
        self._head: Head | None = None
        self._trailers = False  # the body is followed by fields
        self.trailing: Headers = []  # those, where they are no bytes yet: HTTP/2
        self.over = False
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.framing: Framing | None = None  # set when the head was given out: there is no way back then
        self.complete = False

    def start(self, message: Message) -> Head:
        """Take http.response.start (or its like); nothing is sent yet. Returns what was made of it."""
        if self._head is not None:
            raise RuntimeError(f"{message['type']} was sent a second time")
        trailers = "trailers" in message and bool(message["trailers"]) and _takes_trailers(self._request)
        status, fields = message.get("status"), message.get("headers", ())
        if type(fields) is list:
            fields = tuple(fields)
        try:
            head, self.headers = _head_of(status, fields, trailers)
        except TypeError:  # pairs may be lists, or something is wrong with them, which is told now
            head, self.headers = _head(status, fields, trailers)
        self._trailers = trailers
        self._head = head
        self.status = head.code
        if head.closes:
            self._request.keep_alive = False
        return head

    def body(self, message: Message) -> bytes:
        """Take http.response.body (or its like)."""
        piece = message.get("body", b"")
        if type(piece) is not bytes:
            piece = as_bytes(piece)
        more = message.get("more_body", False)
        framing = self.framing
        if framing is None:
            length = None if more or self._trailers else len(piece)
            if self._head is None:
                raise RuntimeError(f"{message['type']} was sent before the start of the answer")
            data, framing = self._head.frame(self._request, self._stamps.now(), length)
            self.framing = framing
            if not more and not self._trailers:
                self.over = self.complete = True
                return data + framing.whole(piece)
            data += framing.encode(piece)
        else:
            self._check_open(message)
            data = framing.encode(piece)
        if more:
            self.complete = framing.left == 0
            return data
        return data + self._end(framing)

    def large_body(self, message: Message, piece: bytes) -> tuple[bytes, bytes, bytes]:
        """Take http.response.body (or its like) whose `piece` is not to be copied; return what goes before
        it, as much of it as goes out, and what goes behind it."""
        more = bool(message.get("more_body", False))
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
        if more:
            self.complete = framing.left == 0
            return data
        return data + self._end(framing)

    def whole(self, head: Head, headers: Headers, size: int) -> tuple[bytes, int]:
        """Take a head that was made before, of an answer that the server gives by itself; return its bytes,
        and how many of the `size` bytes of its body to send."""
        self._head, self.headers = head, headers
        self.status = head.code
        if head.closes:
            self._request.keep_alive = False
        data, self.framing = head.frame(self._request, self._stamps.now(), size)
        self.over = self.complete = True
        return data, self.framing.skip(size)

    def error(self, status: int, text: str, fields: tuple[tuple[str, str], ...] = ()) -> bytes:
        """Return a whole answer in the application's place, of which nothing was sent."""
        self.status = status
        if self._request.version == "2":
            reply = refusal_of(status, text, *fields, closes=False)
            _, count = self.whole(reply.head, reply.headers, reply.size)
            return b"".join([part for part in reply.parts if isinstance(part, bytes)])[:count]
        self.over = self.complete = True
        data, self.framing = error_page(status, text, self._stamps.now(), self._request.method, fields)
        return data

    def trailers(self, message: Message) -> bytes:
        """Take http.response.trailers."""
        framing = self.framing
        if framing is None or not self.over:
            raise RuntimeError("http.response.trailers was sent before the end of the body")
        if not self._has_trailers(framing):
            return b""  # the client cannot read them
        if self.complete:
            raise RuntimeError("http.response.trailers was sent after the answer was complete")
        fields = text_fields(message.get("headers", ()))
        lines = Head("200", fields).fields()
        self.complete = not message.get("more_trailers", False)
        if not framing.chunked:
            self.trailing += fields
            return b""
        return lines + b"\r\n" if self.complete else lines

    def _has_trailers(self, framing: Framing) -> bool:
        """Whether fields come behind the body."""
        return self._trailers and (framing.chunked or self._request.version == "2")

    def early_hint(self, message: Message) -> Headers | None:
        """Take http.response.early_hint; return the fields to send, None for HTTP/1.0, which has no 103."""
        if self._head is not None:
            raise RuntimeError("http.response.early_hint was sent after http.response.start")
        if self._request.version == "1.0":
            return None
        links = message.get("links")
        if not isinstance(links, Iterable) or isinstance(links, (str, bytes)):
            kind = type(links).__name__
            raise TypeError(f"links of http.response.early_hint is {kind}, not a list of bytes")
        return text_fields([(b"Link", link) for link in links])

    def _frame(self, message: Message, length: int | None) -> tuple[bytes, Framing]:
        if self._head is None:
            raise RuntimeError(f"{message['type']} was sent before the start of the answer")
        head, self.framing = self._head.frame(self._request, self._stamps.now(), length)
        return head, self.framing

    def _check_open(self, message: Message) -> None:
        if self.over:
            raise RuntimeError(f"{message['type']} was sent after the body was complete")

    def _end(self, framing: Framing) -> bytes:
        self.over = True
        if self._has_trailers(framing):
            return b"0\r\n" if framing.chunked else b""
        self.complete = True
        return framing.end()


_Prepared = tuple[Head, list[tuple[str, str]]]


def _head(code: object, fields: object, trailers: bool) -> _Prepared:
    """Return a head, and its fields as text."""
    texts = text_fields(fields)
    if trailers:  # they need chunks, and those exclude a length
        texts = [field for field in texts if field[0].lower() != "content-length"]
    return Head(status_line(code), texts), texts


_heads: Final[dict[object, _Prepared]] = {}  # see memo.py


def _head_of(code: object, fields: object, trailers: bool) -> _Prepared:
    """Return what _head() does, made now or before."""
    key = (type(code), code, fields, trailers)  # 200.0 is no code, although it is equal to one
    known = _heads.get(key)
    if known is None:
        known = _head(code, fields, trailers)
        if len(known[0].lines) <= LONGEST:
            remember(_heads, key, known)
    return known


def as_bytes(piece: object) -> bytes:
    if not isinstance(piece, (bytes, bytearray, memoryview)):
        raise TypeError(f"the body is {type(piece).__name__}, not bytes")
    return bytes(piece)


def _takes_trailers(request: Request) -> bool:
    if request.version == "2":
        return True  # no chunks are in their way, and who does not know them passes over them
    fields = [value for name, value in request.headers if name.lower() == b"te"]
    return request.version == "1.1" and b"trailers" in b",".join(fields).lower()
