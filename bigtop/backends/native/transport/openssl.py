# OpenSSL, asked for what Python's ssl module has no words for, where its functions can be found.
#
# Rule: contexts are as good without, and whoever asks is told whether it was done: it cannot be where OpenSSL
# is a part of Python that shows nothing of it, or with a Python of which nobody has seen how it lays out a
# context.

from __future__ import annotations

import _ssl
import ctypes
import ssl
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

TICKET_KEYS: Final = 80  # bytes: a name of 16, a key for HMAC and one for AES, of 32 each
# SSL_CTRL_SET_SESS_CACHE_MODE, _GET_TLSEXT_TICKET_KEYS, _SET_TLSEXT_TICKET_KEYS, _SET_GROUPS_LIST
_SET_CACHE, _GET_KEYS, _SET_KEYS, _SET_GROUPS = 44, 58, 59, 92
_CACHE_OFF: Final = 0
_CHECKED: Final = (3, 16)  # Pythons before that have been looked at

Control = Callable[[int, int, object], int]


def set_ticket_keys(context: ssl.SSLContext, keys: bytes) -> bool:
    """Whether a context makes tickets with these keys from now on, and nothing but tickets."""
    control = _control(context)
    if control is None:
        return False
    found = ctypes.create_string_buffer(TICKET_KEYS)
    control(_SET_KEYS, TICKET_KEYS, keys)
    control(_GET_KEYS, TICKET_KEYS, found)
    if found.raw != keys:
        return False
    # Clients of TLS 1.2 that take no tickets would have up to 20,000 sessions kept, for this worker alone.
    control(_SET_CACHE, _CACHE_OFF, None)
    return True


def set_groups(context: ssl.SSLContext, names: str) -> bool:
    """Whether a context exchanges keys by these groups alone from now on: names, with colons between them."""
    control = _control(context)
    return control is not None and control(_SET_GROUPS, 0, names.encode()) == 1


def set_suites(context: ssl.SSLContext, names: Sequence[str]) -> bool:
    """Whether a context has these suites of TLS 1.3 and no others from now on, the best first."""
    function = _function("SSL_CTX_set_ciphersuites", ctypes.c_char_p)
    return function is not None and function(_pointer(context), ":".join(names).encode()) == 1


def _control(context: ssl.SSLContext) -> Control | None:
    """Return OpenSSL's SSL_CTX_ctrl() for a context."""
    control = _function("SSL_CTX_ctrl", ctypes.c_int, ctypes.c_long, ctypes.c_char_p)
    if control is None:
        return None
    control.restype = ctypes.c_long
    pointer = _pointer(context)

    def asked(what: int, number: int, value: object) -> int:
        return int(control(pointer, what, number, value))

    return asked


def _function(name: str, *types: Any) -> Any:
    """Return a function of OpenSSL about a context, None where there is none that can be called."""
    if sys.implementation.name != "cpython" or sys.version_info >= _CHECKED:
        return None
    try:
        found = ctypes.CDLL(_ssl.__file__)[name]
    except (AttributeError, OSError):  # OpenSSL is a part of Python, which does not show it
        return None
    found.argtypes = [ctypes.c_void_p, *types]
    return found


def _pointer(context: ssl.SSLContext) -> int | None:
    """Return where OpenSSL's own context is: behind the head that all objects have (_ssl.c, PySSLContext)."""
    return ctypes.c_void_p.from_address(id(context) + object.__basicsize__).value
