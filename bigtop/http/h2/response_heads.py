# Heads of answers as HTTP/2 has them: blocks of HPACK that are the same for all connections.
#
# Rule 1: only the static table and literals that are not to be indexed. So a block depends on no connection,
# is made once for many answers (http/response.py remembers heads), and by any thread.
# Rule 2: what http/response.py checked is not checked again; what it decides is decided there.

from __future__ import annotations

from typing import Final

from bigtop.errors import ProtocolError
from bigtop.http.answers.own_pages import own_page
from bigtop.http.h2.hpack import STATIC, Pair
from bigtop.http.messages import Request
from bigtop.http.response import Framing, Head, Headers, Stamp

_EXACT: Final[dict[Pair, int]] = {pair: index for index, pair in enumerate(STATIC) if pair[1]}
_NAMES: Final[dict[bytes, int]] = {
    name: STATIC.index((name, value)) for name, value in reversed(STATIC) if name
}
_INDEXED: Final = 0x80
_LITERAL: Final = 0x00
_NEVER: Final = 0x10  # not to be indexed by others either (RFC 7541, 7.1.3)
_SECRET: Final = (b"authorization", b"cookie", b"set-cookie")
_FIRST_DIGIT: Final = 0x30


def frame(
    head: Head, request: Request, stamp: Stamp, body_length: int | None = None
) -> tuple[bytes, Framing]:
    """Return the block of a head, and what frames the body behind it, as Head.frame() does for HTTP/1.1.

    A Framing that is `silent`, or whose `left` is 0, has nothing behind the head: head(..., ends=True). A
    `left` of None is fine here, since the end is marked whatever the length. A stream whose Framing finds at
    its end() that the body is too short is to be reset with INTERNAL_ERROR.
    """
    silent = head.has_no_body(request)
    length = head.length
    if length is None and not silent:
        length = body_length
    if head.code == 204 or head.code < 200:
        length = None
    block = head.block or _remembered(head)
    if not head.has_server and not head.has_date:
        block += _stamp_block(stamp)
    else:
        block += (b"" if head.has_server else _lines_block(stamp.server)) + (
            b"" if head.has_date else _lines_block(stamp.date)
        )
    if length is not None:
        block += _length_block(length)
    return block, Framing(True, silent, False, 0 if silent else length)


def _remembered(head: Head) -> bytes:
    status, _, lines = head.lines.partition(b"\n")
    head.block = field(b":status", status[9:12]) + _lines_block(lines)
    return head.block


_last: tuple[Stamp | None, bytes] = (None, b"")


def _stamp_block(stamp: Stamp) -> bytes:
    """Return the fields of a stamp; most answers have the same as the one before."""
    global _last
    last = _last
    if last[0] is stamp:
        return last[1]
    made = _lines_block(stamp.server) + _lines_block(stamp.date)
    _last = (stamp, made)
    return made


def _length_block(length: int) -> bytes:
    digits = b"%d" % length
    return b"\x0f\x0d%c%b" % (len(digits), digits)


def _lines_block(lines: bytes) -> bytes:
    """Return a block of the lines of a header, each with its end."""
    parts = []
    for line in lines.split(b"\r\n"):
        if line:
            name, _, value = line.partition(b": ")
            parts.append(field(name.lower(), value.strip(b" \t")))
    return b"".join(parts)


def field(name: bytes, value: bytes) -> bytes:
    """Return the representation of a field, which needs no table but the static one."""
    exact = _EXACT.get((name, value))
    if exact is not None:
        return bytes([_INDEXED | exact])
    kind = _NEVER if name in _SECRET else _LITERAL
    index = _NAMES.get(name, 0)
    if index:
        return _number(kind, 4, index) + _string(value)
    return bytes([kind]) + _string(name) + _string(value)


def _string(text: bytes) -> bytes:
    return _number(0, 7, len(text)) + text


def _number(first: int, bits: int, number: int) -> bytes:
    """Return a number in so many bits of a first byte, and in as many more as it takes (RFC 7541, 5.1)."""
    most = (1 << bits) - 1
    if number < most:
        return bytes([first | number])
    made = [first | most]
    number -= most
    while number >= 0x80:
        made.append(0x80 | number & 0x7F)
        number >>= 7
    made.append(number)
    return bytes(made)


CONTINUE: Final = field(b":status", b"100")


def early_hints(headers: Headers) -> bytes:
    """Return the block of a 103; raises as Head does for what cannot be sent."""
    head = Head("103 Early Hints", headers)
    return head.block or _remembered(head)


def trailers(headers: Headers) -> bytes:
    """Return the block of fields behind a body; raises as Head does for what cannot be sent."""
    return _lines_block(Head("200 OK", headers).fields())


def error_page(error: ProtocolError, stamp: Stamp, method: str = "") -> tuple[bytes, bytes]:
    """Return the block and the body of the server's own answer to a refused request."""
    page = own_page(error.status, str(error), stamp.pages)
    body = page.body
    fields = [("Content-Type", page.kind), *error.fields]
    request = Request(method)
    block, framing = frame(Head(f"{error.status} ", fields), request, stamp, len(body))
    return block, framing.whole(body)
