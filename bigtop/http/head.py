# What the head of a request must be before anybody acts on it; what is not, is refused with a ProtocolError.
#
# Rule: these are the checks that llhttp leaves to its user. Where RFC 9110 and 9112 let a server choose
# between guessing and refusing, it refuses.

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from bigtop.errors import ProtocolError
from bigtop.http.limits import Limits
from bigtop.http.messages import Request

# llhttp also reads RTSP and ICE, and does not tell; in HTTP it refuses these methods of theirs.
NOT_HTTP: Final = frozenset(
    ("ANNOUNCE", "DESCRIBE", "FLUSH", "GET_PARAMETER", "PAUSE", "PLAY", "RECORD", "REDIRECT", "SETUP",
     "SET_PARAMETER", "SOURCE", "TEARDOWN")
)  # fmt: skip

# uri-host [":" port] of RFC 3986 and 9110. No user information, no white space, no list of two.
_HOST: Final = re.compile(rb"(?:[\w.~!$&'()*+;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?", re.ASCII)
_SLASH: Final = ord("/")
_AUTHORITY: Final = re.compile(rb"https?://([^/?]+)", re.IGNORECASE)


def check_line(request: Request, first: bytes) -> None:
    """Hold the request line, with which `first` begins, against what llhttp made of it.

    It does not tell of several spaces, nor whether HTTP/1.0 was not RTSP/1.0 in truth.
    """
    line = b"%b %b HTTP/%b\r\n" % (request.method.encode(), request.target, request.version.encode())
    if not first.startswith(line) and not first.lstrip(b"\r\n").startswith(line):
        raise ProtocolError(400, "the request line must be a method, a target and HTTP/1.1, one space apart")


def check_sizes(request: Request, limits: Limits) -> None:
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


def check_target(request: Request, host: bytes | None) -> None:
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


def frame(request: Request, special: dict[bytes, bytes]) -> None:
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
