# Keys of session tickets: the same in every worker of every generation, made of one secret and the time.
#
# OpenSSL makes keys by itself, others in each context, so a client that comes back to another worker, or
# behind a reload, would have to begin anew. Python has no way to set them, so OpenSSL itself is asked, where
# its functions can be found and what was set can be read back. Elsewhere workers share contexts, which were
# made before they were forked: then a reload costs each client one whole handshake.
#
# Rule: keys turn with the time, so that what is recorded today cannot be read with what is stolen next week.

from __future__ import annotations

import _ssl
import ctypes
import hashlib
import hmac
import ssl
import sys
from collections.abc import Callable, Iterable
from typing import Final

TURN: Final = 12 * 3600  # seconds for which keys are used; who comes back behind that begins anew
_SIZE: Final = 80  # a name of 16 bytes, a key for HMAC and one for AES, of 32 each
_GET, _SET = 58, 59  # SSL_CTRL_GET_TLSEXT_TICKET_KEYS, SSL_CTRL_SET_TLSEXT_TICKET_KEYS
_CHECKED: Final = (3, 16)  # Pythons before that have been looked at


class TicketKeys:
    """The keys of a site. `label` tells apart whose sessions must not be resumed by each other."""

    def __init__(self, secret: str, label: str, clock: Callable[[], float]) -> None:
        self._secret = bytes.fromhex(secret)
        self._label = label.encode()
        self._clock = clock
        self.began = self.until = 0.0  # when those that were given are the right ones
        self.are_shared = False  # whether OpenSSL takes them

    def give(self, contexts: Iterable[ssl.SSLContext]) -> None:
        """Have contexts use the keys of this time."""
        turn = int(self._clock() // TURN)
        self.began, self.until = float(turn * TURN), float(turn * TURN + TURN)
        if not self._secret:
            return
        keys = _expanded(self._secret, self._label + turn.to_bytes(8, "big"))
        self.are_shared = all(_set(context, keys) for context in contexts)


def _expanded(secret: bytes, info: bytes) -> bytes:
    """Return as many bytes as keys have (RFC 5869, 2.3)."""
    made, block = b"", b""
    for number in range(1, 4):
        block = hmac.digest(secret, block + info + bytes([number]), hashlib.sha256)
        made += block
    return made[:_SIZE]


def _set(context: ssl.SSLContext, keys: bytes) -> bool:
    """Whether a context has them now."""
    control = _control()
    if control is None:
        return False
    # What stands behind the head that all objects have: OpenSSL's own context (_ssl.c, PySSLContext).
    pointer = ctypes.c_void_p.from_address(id(context) + object.__basicsize__).value
    found = ctypes.create_string_buffer(_SIZE)
    control(pointer, _SET, _SIZE, keys)
    control(pointer, _GET, _SIZE, found)
    return found.raw == keys


def _control() -> Callable[[int | None, int, int, object], int] | None:
    """Return OpenSSL's SSL_CTX_ctrl(), None where it cannot be had."""
    if sys.implementation.name != "cpython" or sys.version_info >= _CHECKED:
        return None
    try:
        control = ctypes.CDLL(_ssl.__file__).SSL_CTX_ctrl
    except (AttributeError, OSError):  # OpenSSL is a part of Python, which does not show it
        return None
    control.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p]
    control.restype = ctypes.c_long
    return control
