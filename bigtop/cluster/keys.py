# Keys of a cluster: Ed25519, written as NATS writes its keys (nkeys), and what is signed with them.
#
# Rule: who takes something in that was signed says which keys it believes. Nothing is believed because of the
# way that it came: a hub may be somebody else's by now.

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Collection, Mapping
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bigtop.errors import BigtopError, ConfigError

OPERATOR: Final = 14 << 3
ACCOUNT: Final = 0
USER: Final = 20 << 3
_SEED: Final = 18 << 3
_RAW: Final = serialization.Encoding.Raw, serialization.PublicFormat.Raw


class ForgedError(BigtopError):
    """A signature is missing, wrong, or of somebody whose word does not count."""


class KeyPair:
    """A pair of one of the kinds above. ConfigError: the seed is none."""

    def __init__(self, kind: int, raw: bytes) -> None:
        self._kind, self._raw = kind, raw
        self._private = Ed25519PrivateKey.from_private_bytes(raw)
        self.public = _encoded(bytes([kind]) + self._private.public_key().public_bytes(*_RAW))

    @classmethod
    def made(cls, kind: int) -> KeyPair:
        return cls(kind, os.urandom(32))

    @classmethod
    def of(cls, seed: str) -> KeyPair:
        data = _decoded(seed)
        if len(data) != 34 or data[0] & 0xF8 != _SEED:
            raise ConfigError("this is no seed of a key")
        return cls((data[0] & 7) << 5 | data[1] >> 3, data[2:])

    @property
    def seed(self) -> str:
        """The secret, as text."""
        return _encoded(bytes([_SEED | self._kind >> 5, (self._kind & 31) << 3]) + self._raw)

    def sign(self, data: bytes) -> bytes:
        return self._private.sign(data)

    def signed(self, body: Mapping[str, Any]) -> bytes:
        """Return a message that opened() opens."""
        text = json.dumps(body, separators=(",", ":"))
        signature = base64.b64encode(self.sign(text.encode())).decode()
        return json.dumps({"by": self.public, "signature": signature, "body": text}).encode()


def opened(data: bytes, trusted: Collection[str]) -> dict[str, Any]:
    """Return what one of the keys `trusted` signed. ForgedError: none of them did."""
    try:
        said = json.loads(data)
        by, text, signature = said["by"], said["body"], base64.b64decode(said["signature"])
        if by not in trusted:
            raise ForgedError(f"signed by {by!r}, whose word does not count")
        key = Ed25519PublicKey.from_public_bytes(_decoded(by)[1:])
        key.verify(signature, text.encode())
        body = json.loads(text)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InvalidSignature) as error:
        raise ForgedError(f"no signature that holds: {type(error).__name__}") from None
    if not isinstance(body, dict):
        raise ForgedError("what was signed is no object")
    return body


def is_public(text: str) -> bool:
    """Whether a text is the public key of a user."""
    try:
        return len(text) < 100 and _decoded(text)[0] == USER
    except ConfigError:
        return False


def _encoded(data: bytes) -> str:
    checked = data + binascii.crc_hqx(data, 0).to_bytes(2, "little")
    return base64.b32encode(checked).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    try:
        data = base64.b32decode(text + "=" * (-len(text) % 8))
    except ValueError:
        raise ConfigError("this is no key") from None
    if len(data) < 35 or binascii.crc_hqx(data[:-2], 0).to_bytes(2, "little") != data[-2:]:
        raise ConfigError("this is no key: its checksum is wrong")
    return data[:-2]
