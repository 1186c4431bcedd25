# ClientHello: what a client says before anything is encrypted (RFC 8446, 4.1.2; RFC 6066, 3; RFC 7301).
#
# Rule 1: bytes are looked at as often as more of them came, from the beginning: they stay in the kernel, for
# whoever is to answer.
# Rule 2: what is no TLS is told apart as early as one byte can do it. What is TLS and makes no sense is left
# to the library that answers with an alert: here it is a Hello that says nothing. So is a long one.

from __future__ import annotations

import re
from enum import Enum
from typing import Final, NamedTuple

MOST: Final = 16384  # bytes that are looked at; with a post-quantum key a Hello has 1.5 to 2 KiB
_HANDSHAKE: Final = 22  # type of a record
_CLIENT_HELLO: Final = 1
_RECORD: Final = 5  # bytes of a record's header
_LONGEST_RECORD: Final = 16384
_RECORDS: Final = 64  # that are looked at: who divides it more finely wants to keep us busy
_SERVER_NAME: Final = 0
_ALPN: Final = 16
_SUPPORTED_VERSIONS: Final = 43
_HOST_NAME: Final = 0
_RANDOM_END: Final = 34  # behind a version and 32 random bytes
_NAME: Final = re.compile(rb"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_LONGEST_NAME: Final = 253


class Hello(NamedTuple):
    """What a client asks for. `name` is the host, in lower case, "" if it named none that could be one;
    `alpn` are protocols in its order; `versions` are numbers of RFC 8446, such as 0x0304."""

    name: str = ""
    alpn: tuple[bytes, ...] = ()
    versions: tuple[int, ...] = ()


class Unready(Enum):
    """Why there is no Hello."""

    SHORT = 1  # more bytes are needed
    ALIEN = 2  # it is no TLS


SHORT: Final[Unready] = Unready.SHORT
ALIEN: Final[Unready] = Unready.ALIEN
_NOTHING: Final = Hello()


class _Nonsense(Exception):  # noqa: N818 - no error: somebody else answers it
    """A length leads beyond what there is."""


def hello_of(data: bytes) -> Hello | Unready:
    """Return what `data`, the first bytes of a connection, says."""
    message = b""
    at = records = 0
    while at < len(data) and records < _RECORDS:
        if data[at] != _HANDSHAKE or data[at + 1 : at + 2] not in (b"", b"\3"):
            return _NOTHING if at else ALIEN
        if at + _RECORD > len(data):
            break
        size = data[at + 3] << 8 | data[at + 4]
        if not 0 < size <= _LONGEST_RECORD:
            return _NOTHING if at else ALIEN
        at += _RECORD
        message += data[at : at + size]
        at += size
        records += 1
        if message and message[0] != _CLIENT_HELLO:
            return ALIEN
        if len(message) >= 4 and len(message) >= (end := 4 + int.from_bytes(message[1:4], "big")):
            return _read(message[4:end])
    return SHORT if len(data) < MOST and records < _RECORDS else _NOTHING


def _read(body: bytes) -> Hello:
    try:
        return _hello(body)
    except _Nonsense:
        return _NOTHING


def _hello(body: bytes) -> Hello:
    end = len(body)
    at = _behind(body, _RANDOM_END, 1, end)  # a session
    at = _behind(body, at, 2, end)  # ciphers
    at = _behind(body, at, 1, end)  # compression
    name, alpn, versions = "", (), (body[0] << 8 | body[1],)  # type: str, tuple[bytes, ...], tuple[int, ...]
    if at < end:
        at, end = at + 2, _behind(body, at, 2, end)
    while at < end:
        begin, behind = at + 4, _behind(body, at + 2, 2, end)
        kind = body[at] << 8 | body[at + 1]
        if kind == _SERVER_NAME:
            name = _host(body, begin + 2, _behind(body, begin, 2, behind))
        elif kind == _ALPN:
            alpn = _protocols(body, begin + 2, _behind(body, begin, 2, behind))
        elif kind == _SUPPORTED_VERSIONS:
            versions = _numbers(body, begin + 1, _behind(body, begin, 1, behind))
        at = behind
    return Hello(name, alpn, versions)


def _host(data: bytes, at: int, end: int) -> str:
    while at < end:
        behind = _behind(data, at + 1, 2, end)
        name = data[at + 3 : behind].lower().removesuffix(b".")
        if data[at] == _HOST_NAME and len(name) <= _LONGEST_NAME and _NAME.fullmatch(name) is not None:
            return name.decode("ascii")
        at = behind
    return ""


def _protocols(data: bytes, at: int, end: int) -> tuple[bytes, ...]:
    found = []
    while at < end:
        behind = _behind(data, at, 1, end)
        found.append(data[at + 1 : behind])
        at = behind
    return tuple(found)


def _numbers(data: bytes, at: int, end: int) -> tuple[int, ...]:
    if (end - at) % 2:
        raise _Nonsense
    return tuple([data[one] << 8 | data[one + 1] for one in range(at, end, 2)])


def _behind(data: bytes, at: int, width: int, end: int) -> int:
    """Return what stands behind a block that begins at `at` with its length, in `width` bytes. _Nonsense: not
    before `end`."""
    behind = at + width
    if behind > end:
        raise _Nonsense
    behind += data[at] if width == 1 else data[at] << 8 | data[at + 1]
    if behind > end:
        raise _Nonsense
    return behind
