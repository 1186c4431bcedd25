# Heads of requests as HTTP/2 has them (RFC 9113, 8.1 to 8.3): header blocks become what a Request is made of.
#
# Rule 1: strict as http/head.py, so that no answer depends on the version: what HTTP/1.1 could not carry, or
# would read in another way, is refused.
# Rule 2: what is malformed in the words of RFC 9113 resets the stream and has no answer; what is well-formed
# and not wanted has one (a ProtocolError).
# Rule 3: what was found good is remembered by the table and the bytes, as in request_fields.py.

from __future__ import annotations

import re
from typing import Final

from bigtop.errors import ProtocolError
from bigtop.http.declarations import LONGEST_METHOD
from bigtop.http.h2.error_codes import StreamError
from bigtop.http.h2.hpack import Decoder, Pair, Table
from bigtop.http.h2.request_fields import SPECIAL, check, malformed, request_fields, shown
from bigtop.http.h2.streams.priority import UNSAID, Priority
from bigtop.http.limits import Limits
from bigtop.http.memo import LONGEST, remember
from bigtop.http.messages import Fields, Request

_PSEUDO: Final = frozenset((b":authority", b":method", b":path", b":protocol", b":scheme"))
_METHOD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SCHEME: Final = re.compile(rb"[A-Za-z][0-9A-Za-z+.-]*")
_PATH: Final = bytes([0x21, 0x22, *range(0x24, 0x7F), *range(0x80, 0x100)])  # no fragment (#)
_BEYOND: Final = re.compile(rb"[\x80-\xff]")
_SLASH: Final = ord("/")
_PSEUDOS: Final = 4  # fields that are none in HTTP/1.1, at most
_LINE: Final = len("  HTTP/1.1")
# What nearly all say.
_METHODS: Final = {b"GET": "GET", b"POST": "POST", b"HEAD": "HEAD", b"PUT": "PUT", b"DELETE": "DELETE"}
_SCHEMES: Final = (b"https", b"http")


class Block:
    """A decoded header block. `table` is the one behind it; without an `error` it is a request's:
    `content_length` is None where it does not say, `protocol` that of RFC 8441, b"" for none."""

    __slots__ = (
        "content_length",
        "error",
        "expects_continue",
        "fields",
        "limits",
        "method",
        "path",
        "priority",
        "protocol",
        "table",
    )

    def __init__(self, table: Table, limits: Limits) -> None:
        self.table = table
        self.limits = limits  # those that it keeps
        self.error: ProtocolError | StreamError | None = None
        self.fields: Fields = _NOTHING
        self.method = ""
        self.path = b""
        self.protocol = b""
        self.content_length: int | None = None
        self.expects_continue = False
        self.priority: Priority = UNSAID

    def request(self, *, ended: bool) -> Request:
        """Return a request that is this block's; `ended`: nothing follows."""
        made = Request(self.method, self.path, self.fields)
        made.version = "2"
        if not ended:
            made.ended = False
            made.content_length = self.content_length
            made.expects_continue = self.expects_continue
            if self.protocol:
                made.upgrade = self.protocol
        return made


_NOTHING: Final = Fields([], {})
_blocks: Final[dict[tuple[int, bytes], Block]] = {}


def known_block(table: Table, data: bytes, limits: Limits) -> Block:
    """Return what a header block says, found out now or before; Http2Error when it cannot be decoded."""
    key = (table.serial, data)
    block = _blocks.get(key)
    if block is not None and block.limits is limits:
        return block
    decoder = Decoder(table, data, limits.fields + _PSEUDOS, limits.head)
    block = Block(decoder.run(table), limits)
    if decoder.broken:
        block.error = ProtocolError(431, decoder.broken)
        return block
    try:
        block.error = _fill(block, decoder.pairs, limits)
    except StreamError as error:
        block.error = _renewed(error)
    if block.error is None and decoder.size <= LONGEST * 2:
        remember(_blocks, key, block)
    return block


def trailer_block(table: Table, data: bytes, limits: Limits) -> Block:
    """Return what a header block behind a body says. Nobody is told, but it has to be right."""
    decoder = Decoder(table, data, limits.fields, limits.head)
    block = Block(decoder.run(table), limits)
    if decoder.broken:
        block.error = ProtocolError(431, decoder.broken)
        return block
    try:
        for name, value in decoder.pairs:
            check(name, value)
            if name in SPECIAL:
                raise malformed(f"{name.decode()} cannot be a trailer")
    except StreamError as error:
        block.error = _renewed(error)
    return block


def _renewed(error: StreamError) -> StreamError:
    """Return an error that holds no frames, and so no connection."""
    return StreamError(error.code, str(error))


def _fill(block: Block, pairs: list[Pair], limits: Limits) -> ProtocolError | None:
    """Take in the fields of a request; return why it is refused, None if it is not.

    Raises StreamError for what is malformed.
    """
    pseudo: dict[bytes, bytes] = {}
    for name, value in pairs:
        if name not in _PSEUDO:
            break
        if name in pseudo:
            raise malformed(f"the field {shown(name)} is there twice")
        pseudo[name] = value
    block.method = _method_of(pseudo.get(b":method", b""))
    block.protocol = pseudo.get(b":protocol", b"")
    block.path = _path_of(pseudo, block.method)
    found = request_fields(pseudo.get(b":authority"), pairs[len(pseudo) :])
    block.fields = found.fields
    block.content_length = found.content_length
    block.expects_continue = found.expects_continue
    block.priority = found.priority
    if len(block.method) + len(block.path) + _LINE > limits.request_line:
        return ProtocolError(414, f"method and path are longer than {limits.request_line - _LINE} bytes")
    return found.refusal(limits) or _unwanted(block)


def is_method(text: bytes) -> bool:
    return text in _METHODS or _METHOD.fullmatch(text) is not None


def is_path(path: bytes, method: bytes) -> bool:
    """Whether a request may have that :path, of which nothing is to be escaped."""
    begins = path.startswith(b"/") or (path == b"*" and method == b"OPTIONS")
    return begins and path.isascii() and not path.translate(None, _PATH)


def _method_of(text: bytes) -> str:
    method = _METHODS.get(text)
    if method is not None:
        return method
    if _METHOD.fullmatch(text) is None:
        raise malformed("a request needs a :method, which is a token")
    return text.decode()


def _path_of(pseudo: dict[bytes, bytes], method: str) -> bytes:
    path, protocol = pseudo.get(b":path", b""), pseudo.get(b":protocol")
    if method == "CONNECT" and protocol is None:
        if b":path" in pseudo or b":scheme" in pseudo or b":authority" not in pseudo:
            raise malformed("CONNECT has an :authority, no :path and no :scheme")
        return path
    if protocol is not None and (method != "CONNECT" or _METHOD.fullmatch(protocol) is None):
        raise malformed("a :protocol is for CONNECT, and a token")
    scheme = pseudo.get(b":scheme", b"")
    if scheme not in _SCHEMES and _SCHEME.fullmatch(scheme) is None:
        raise malformed("a request needs a :scheme")
    if not path or (path[0] != _SLASH and (path != b"*" or method != "OPTIONS")):
        raise malformed("a request needs a :path, which begins with /")
    if path.translate(None, _PATH):
        raise malformed("the :path holds a blank, a control character or a fragment")
    if not path.isascii():
        path = _BEYOND.sub(lambda match: b"%%%02X" % match[0][0], path)
    return path


def _unwanted(block: Block) -> ProtocolError | None:
    """Return why a request that is well-formed is not for us, None if it is."""
    method = block.method
    if len(method) > LONGEST_METHOD:
        return ProtocolError(501, f"a method is longer than {LONGEST_METHOD} characters")
    if method == "PRI":
        return ProtocolError(501, "PRI is no method")
    if method == "CONNECT" and block.protocol != b"websocket":
        what = "the only :protocol known is websocket" if block.protocol else "CONNECT is for proxies"
        return ProtocolError(501, what)
    return None
