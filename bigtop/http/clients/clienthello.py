# ClientHello: what a client says before anything is encrypted (RFC 8446, 4.1.2; RFC 6066, 3; RFC 7301).
#
# Rule 1: bytes are looked at as often as more of them came, from the beginning: they stay in the kernel, for
# whoever is to answer.
# Rule 2: what clients say again is remembered (memo.py): most say one name, and one list of protocols.
# Rule 3: what is no TLS is told apart as early as one byte can do it. What is TLS and makes no sense is left
# to the library that answers with an alert: here it is a Hello that says nothing. So is a long one.

from __future__ import annotations

import re
from enum import Enum
from typing import Final, NamedTuple

from bigtop.http.memo import LONGEST, remember

MOST: Final = 16384  # bytes that are looked at; with a post-quantum key a Hello has 1.5 to 2 KiB
_HANDSHAKE: Final = 22  # type of a record
_MAJOR: Final = 3  # its version: that of SSL 3, to this day
_CLIENT_HELLO: Final = 1
_RECORD: Final = 5  # bytes of a record's header
_HEAD: Final = 4  # bytes before a message, and before an extension: its kind and its length
_LONGEST_RECORD: Final = 16384
_RECORDS: Final = 64  # that are looked at: who divides it more finely wants to keep us busy
_SERVER_NAME: Final = 0
_ALPN: Final = 16
_HOST_NAME: Final = 0
_RANDOM_END: Final = _HEAD + 34  # behind a version and 32 random bytes
_NAME: Final = re.compile(rb"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_LONGEST_NAME: Final = 253


class Hello(NamedTuple):
    """What a client asks for. `name` is the host, in lower case, "" if it named none that could be one;
    `alpn` are protocols in its order."""

    name: str = ""
    alpn: tuple[bytes, ...] = ()


class Unready(Enum):
    """Why there is no Hello."""

    SHORT = 1  # more bytes are needed
    ALIEN = 2  # it is no TLS


SHORT: Final[Unready] = Unready.SHORT
ALIEN: Final[Unready] = Unready.ALIEN
_NOTHING: Final = Hello()
_known: Final[dict[bytes, Hello]] = {}  # by the two extensions, which tell their lengths themselves


class _Nonsense(Exception):  # noqa: N818 - no error: somebody else answers it
    """A length leads beyond what there is."""


def hello_of(data: bytes) -> Hello | Unready:
    """Return what `data`, the first bytes of a connection, says."""
    message = b""
    at = records = 0
    size = len(data)
    while at < size and records < _RECORDS:
        if data[at] != _HANDSHAKE or (at + 1 < size and data[at + 1] != _MAJOR):
            return _NOTHING if at else ALIEN
        if at + _RECORD > size:
            break
        length = data[at + 3] << 8 | data[at + 4]
        if not 0 < length <= _LONGEST_RECORD:
            return _NOTHING if at else ALIEN
        at += _RECORD
        message += data[at : at + length]
        at += length
        records += 1
        if message and message[0] != _CLIENT_HELLO:
            return ALIEN
        if len(message) >= _HEAD:
            end = _HEAD + (message[1] << 16 | message[2] << 8 | message[3])
            if len(message) >= end:
                return _read(message, end)
    return SHORT if size < MOST and records < _RECORDS else _NOTHING


def _read(message: bytes, end: int) -> Hello:
    try:
        return _hello(message, end)
    except _Nonsense:
        return _NOTHING


def _hello(data: bytes, end: int) -> Hello:
    at = _behind(data, _RANDOM_END, 1, end)  # a session
    at = _behind(data, at, 2, end)  # ciphers
    at = _behind(data, at, 1, end)  # compression
    name = alpn = b""
    if at < end:
        at, end = at + 2, _behind(data, at, 2, end)
    while at < end:
        if at + 4 > end:
            raise _Nonsense
        behind = at + 4 + (data[at + 2] << 8 | data[at + 3])
        if behind > end:
            raise _Nonsense
        if data[at] == 0:
            if data[at + 1] == _SERVER_NAME:
                name = data[at:behind]
            elif data[at + 1] == _ALPN:
                alpn = data[at:behind]
        at = behind
    key = name + alpn
    hello = _known.get(key)
    if hello is None:
        hello = Hello(_host(name), _protocols(alpn))
        if len(key) <= LONGEST:
            remember(_known, key, hello)
    return hello


def _host(data: bytes) -> str:
    """Return the name that an extension gives."""
    at, end = _list_of(data)
    while at < end:
        behind = _behind(data, at + 1, 2, end)
        name = data[at + 3 : behind].lower().removesuffix(b".")
        if data[at] == _HOST_NAME and len(name) <= _LONGEST_NAME and _NAME.fullmatch(name) is not None:
            return name.decode("ascii")
        at = behind
    return ""


def _protocols(data: bytes) -> tuple[bytes, ...]:
    """Return the protocols that an extension offers."""
    at, end = _list_of(data)
    found = []
    while at < end:
        behind = _behind(data, at, 1, end)
        found.append(data[at + 1 : behind])
        at = behind
    return tuple(found)


def _list_of(extension: bytes) -> tuple[int, int]:
    """Return where the list begins and ends that an extension consists of, both 0 where there is none."""
    return (_HEAD + 2, _behind(extension, _HEAD, 2, len(extension))) if extension else (0, 0)


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
