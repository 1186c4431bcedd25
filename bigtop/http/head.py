# The lines of a request's head become a Request, or a refusal.
#
# Rule: where RFC 9110 and 9112 let a server choose between guessing and refusing, it refuses: what two
# servers in a row may understand differently is how requests are smuggled.
# Rule: lines come here whole and without their ends, and hold no control character but the tab; what may be
# said about them before is in check_start() and check_text().

from __future__ import annotations

import re
from typing import Final

from bigtop.errors import ProtocolError
from bigtop.http.declarations import LONGEST_METHOD
from bigtop.http.memo import LONGEST, LONGEST_NAME, MOST_FIELDS, remember
from bigtop.http.messages import Fields, Request

_METHOD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]*")  # a token

# What a line may be made of: all but controls, of which the tab alone is allowed (RFC 9110, 5.5).
TEXT: Final = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])

# Fields with a meaning for the connection or the framing; no trailer may bear such a name.
_SPECIAL: Final = frozenset(
    (b"connection", b"content-length", b"expect", b"host", b"transfer-encoding", b"upgrade")
)

_VERSION: Final = re.compile(rb"HTTP/[0-9]\.[0-9]")
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# uri-host [":" port] of RFC 3986 and 9110. No user information, no white space, no list of two.
HOST: Final = re.compile(rb"(?:[\w.~!$&'()*+;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?", re.ASCII)
_SLASH: Final = ord("/")
_AUTHORITY: Final = re.compile(rb"https?://([^/?]+)", re.IGNORECASE)
_BEYOND: Final = re.compile(rb"[\x80-\xff]")  # ASCII
_DIGITS: Final = 18  # of a length: it fits into 64 bits, so no number wraps around for anybody

# What was read before (see memo.py): names of fields, as they were spelled -> which special field they name,
# b"" for none; first lines; headers as a whole, each with the empty line behind it. To look into the latter
# two first spares engine.py a call.
_names: dict[bytes, bytes] = {}
_NAMES_KEPT: Final = 1024
known_lines: Final[dict[bytes, RequestLine]] = {}
known_headers: Final[dict[bytes, Fields]] = {}

# ---- while it arrives


def check_start(line: bytes, whole: bool) -> None:
    """Refuse a first line, or what there is of it, that begins with no method.

    So clients that speak something else (TLS, JSON) are told at once, and not when their time is over.
    """
    method, space, _ = line.partition(b" ")
    token = _METHOD.match(method)
    length = token.end() if token is not None else 0
    if length > LONGEST_METHOD:
        raise ProtocolError(501, f"a method is longer than {LONGEST_METHOD} characters")
    if length < len(method) or (not length and (whole or space)):
        raise ProtocolError(400, "the request does not begin with a method of HTTP")


def check_text(line: bytes, limit: int, what: str = "header field", status: int = 431) -> None:
    """Refuse a line, or what there is of it, for a control or for being too long, whichever is first."""
    if line[: limit + 1].translate(None, TEXT):
        raise ProtocolError(400, "a line of the head holds a control character, or ends in a bare CR or LF")
    if len(line) > limit:
        raise ProtocolError(status, f"a {what} is longer than {limit} bytes")


# ---- when it is there


def parse(lines: list[bytes]) -> Request:
    """Return the request whose head has these lines, the request line first."""
    return assemble(read_line(lines[0]), _read_fields(lines[1:]))


def assemble(line: RequestLine, fields: Fields) -> Request:
    """Return the request that consists of both."""
    made = Request(line.method, line.target, fields)
    if line.version == "1.0":
        made.version = "1.0"
        made.keep_alive = False
    if not line.is_path or not fields.has_host:
        _check_target(made, fields.special.get(b"host"))
    if not fields.is_plain:
        _apply(made, fields.special)
    return made


class RequestLine:
    """A request line; `is_path` is whether the target is one, and no URL, nor "*"."""

    __slots__ = ("is_path", "method", "target", "version")

    def __init__(self, method: str, target: bytes, version: str) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.is_path = target[0] == _SLASH


def read_line(line: bytes) -> RequestLine:
    """Return what a request line says."""
    check_start(line, whole=True)
    parts = line.split(b" ")
    method = parts[0].decode()
    if len(parts) == 2 and parts[1].startswith(b"/") and b"\t" not in line:
        raise ProtocolError(505, "HTTP/0.9 is not spoken here")
    if len(parts) != 3:
        raise ProtocolError(400, "a request line is a method, a target and HTTP/1.1, one space apart")
    target, version = parts[1], parts[2]
    if _VERSION.fullmatch(version) is None:
        raise ProtocolError(400, "the request line does not end in HTTP/1.1")
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise ProtocolError(505, f"{version.decode()} is not spoken here")
    if method == "PRI":  # registered to open HTTP/2, and only that
        raise ProtocolError(501, "PRI is no method of HTTP/1.1")
    if not target or b"\t" in target:
        raise ProtocolError(400, "a request target has no tab, and is not empty")
    if not target.isascii():
        target = _encoded(target)
    if b"#" in target:
        raise ProtocolError(400, "a request target has no fragment")
    return RequestLine(method, target, version[5:].decode())


def _encoded(target: bytes) -> bytes:
    """Return a target with the bytes encoded that should have been; a host cannot hold such."""
    if target[0] != _SLASH and (authority := _AUTHORITY.match(target)) and not authority[1].isascii():
        raise ProtocolError(400, "the request target must name a host in ASCII")
    return _BEYOND.sub(lambda match: b"%%%02X" % match[0][0], target)


def _read_fields(lines: list[bytes]) -> Fields:
    special: dict[bytes, bytes] = {}
    headers = []
    for line in lines:
        name, colon, value = line.partition(b":")
        kind = _names.get(name)
        if kind is None:
            kind = learn(name)
        if not colon:
            raise ProtocolError(400, "a header field is a name, a colon and a value")
        value = value.strip(b" \t")
        headers.append((name, value))
        if kind == b"transfer-encoding" and b"\t" in line:
            raise ProtocolError(400, "a tab beside a transfer coding is a part of its name to some")
        if kind:  # repeated ones make a list, as RFC 9110 5.3 reads them
            special[kind] = special[kind] + b", " + value if kind in special else value
    if (host := special.get(b"host")) is not None and HOST.fullmatch(host) is None:
        raise ProtocolError(400, "the Host field must name one host")
    return Fields(headers, special)


def line_of(line: bytes) -> RequestLine:
    """Return what a request line says; remembered unless it is wrong."""
    made = known_lines.get(line)
    if made is None:
        check_text(line, LONGEST)
        made = read_line(line)
        remember(known_lines, line, made)
    return made


def fields_of(header: bytes) -> Fields:
    """Return what a whole header says, its empty line included; remembered unless it is wrong or large."""
    made = known_headers.get(header)
    if made is None:
        lines = header[:-4].split(b"\r\n") if len(header) > 2 else []
        # Without its text it is nothing but line ends, two bytes each. Any byte more is one too many.
        if len(header.translate(None, TEXT)) > 2 * (len(lines) + 1):
            raise ProtocolError(400, "a control character, or a bare CR or LF")
        made = _read_fields(lines)
        if len(lines) <= MOST_FIELDS:
            remember(known_headers, header, made)
    return made


def learn(name: bytes) -> bytes:
    """Check a field name; return the special field that it names, in lower case, b"" if none."""
    if _NAME.fullmatch(name) is None:
        raise ProtocolError(400, "a field name is a token and stands right before its colon")
    lower = name.lower()
    kind = lower if lower in _SPECIAL else b""
    if len(_names) < _NAMES_KEPT and len(name) <= LONGEST_NAME:
        _names[name] = kind
    return kind


def check_trailer(line: bytes) -> None:
    """Trailers go nowhere; but whoever stands in front of us may obey one that belongs into a head."""
    name, colon, _ = line.partition(b":")
    if learn(name):
        raise ProtocolError(400, f"{name.decode('latin-1')} cannot be a trailer")
    if not colon:
        raise ProtocolError(400, "a trailer is a name, a colon and a value")


def _check_target(made: Request, host: bytes | None) -> None:
    """See to it that the request names one host and one path; afterwards the Host field holds that host."""
    target = made.target
    if host is None and made.version == "1.1":
        raise ProtocolError(400, "an HTTP/1.1 request needs a Host field")
    if target[0] == _SLASH:
        return
    if made.method == "CONNECT":
        raise ProtocolError(501, "CONNECT is for proxies")
    if target == b"*" and made.method == "OPTIONS":
        return
    authority = _AUTHORITY.match(target)
    if authority is None or HOST.fullmatch(authority[1]) is None:
        raise ProtocolError(400, "the request target must be a path or an http URL")
    # The target decides against Host (RFC 9112, 3.2.2).
    others = [field for field in made.headers if field[0].lower() != b"host"]
    made.headers = [(b"Host", authority[1]), *others]
    made.fields = None


def _apply(made: Request, special: dict[bytes, bytes]) -> None:
    """Take the fields that say how the message is framed and what becomes of the connection."""
    options: list[bytes] = []
    if (connection := special.get(b"connection")) is not None:
        options = [option.strip(b" \t") for option in connection.lower().split(b",")]
        keeps = made.version == "1.1" or b"keep-alive" in options
        made.keep_alive = keeps and b"close" not in options
    _frame(made, special.get(b"content-length"), special.get(b"transfer-encoding"))
    if made.version == "1.0":
        return
    if (expect := special.get(b"expect")) is not None:
        if expect.lower() != b"100-continue":
            raise ProtocolError(417, "the only expectation known is 100-continue")
        made.expects_continue = not made.ended
    if b"upgrade" in options:
        made.upgrade = special.get(b"upgrade")


def _frame(made: Request, length: bytes | None, coding: bytes | None) -> None:
    """Find out where the body ends (RFC 9112, 6.3)."""
    if coding is not None:
        if length is not None:
            raise ProtocolError(400, "a request has a Content-Length or a Transfer-Encoding, not both")
        if made.version == "1.0":
            raise ProtocolError(400, "HTTP/1.0 knows no Transfer-Encoding")
        _check_coding(coding.lower())
        made.chunked = True
        made.content_length = None
        made.ended = False
    elif length is not None:
        # isdigit() of bytes knows ASCII digits alone; a list of lengths, even of equal ones, is none.
        if not length.isdigit() or len(length.lstrip(b"0")) > _DIGITS:
            raise ProtocolError(400, "a Content-Length is one decimal number of less than 64 bits")
        made.content_length = int(length)
        made.ended = made.content_length == 0


def _check_coding(coding: bytes) -> None:
    if coding == b"chunked":
        return
    codings = [one.strip(b" \t") for one in coding.split(b",")]
    if not coding or b"chunked" in codings[:-1]:
        raise ProtocolError(400, "chunked is the last transfer coding, and there once")
    raise ProtocolError(501, "the only transfer coding known is chunked")
