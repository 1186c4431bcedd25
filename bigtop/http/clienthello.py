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
    fields = _Fields(body)
    version = fields.number(2)
    fields.take(32)  # its random bytes
    fields.block(1)  # a session
    fields.block(2)  # ciphers
    fields.block(1)  # compression
    name, alpn, versions = "", (), (version,)  # type: str, tuple[bytes, ...], tuple[int, ...]
    extensions = _Fields(fields.block(2) if fields.is_left else b"")
    while extensions.is_left:
        kind, content = extensions.number(2), _Fields(extensions.block(2))
        if kind == _SERVER_NAME:
            name = _host(_Fields(content.block(2)))
        elif kind == _ALPN:
            alpn = tuple(_Fields(content.block(2)).blocks())
        elif kind == _SUPPORTED_VERSIONS:
            versions = tuple(_Fields(content.block(1)).numbers())
    return Hello(name, alpn, versions)


def _host(names: _Fields) -> str:
    while names.is_left:
        kind, name = names.number(1), names.block(2).lower().removesuffix(b".")
        if kind == _HOST_NAME and len(name) <= _LONGEST_NAME and _NAME.fullmatch(name) is not None:
            return name.decode("ascii")
    return ""


class _Fields:
    """What is left to read of a structure. All that read raise _Nonsense where there is too little."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_left(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        at, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise _Nonsense
        return self._data[at : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def block(self, size: int) -> bytes:
        """Return what follows on its length, which has `size` bytes."""
        return self.take(self.number(size))

    def blocks(self) -> list[bytes]:
        found = []
        while self.is_left:
            found.append(self.block(1))
        return found

    def numbers(self) -> list[int]:
        found = []
        while self.is_left:
            found.append(self.number(2))
        return found
