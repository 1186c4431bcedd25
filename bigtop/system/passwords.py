# Passwords: whether one is that of a hash, as crypt(3) or the package bcrypt says. It takes as long as the
# hash is dear; other threads go on meanwhile.

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hmac import compare_digest
from typing import Any, Final

_LIBRARIES: Final = ("libcrypt.so.2", "libcrypt.so.1", None)  # None: musl has it in its libc
_ROOM: Final = 262_144  # bytes of struct crypt_data; glibc's old one has 131,232
_BCRYPT: Final = "$2"


def is_right(password: bytes, stored: str) -> bool:
    """Whether `stored` is a hash of `password`. LookupError: nothing here can tell."""
    made = _made_by(stored)
    if made is None:
        raise LookupError(lacking((stored,)))
    return made(password, stored)


def lacking(stored: tuple[str, ...]) -> str:
    """Return what is to be installed before these hashes can be tried, "" for nothing."""
    if all(_made_by(one) is not None for one in stored):
        return ""
    if any(one.startswith(_BCRYPT) for one in stored):
        return "needs bcrypt: pip install 'bigtop[auth]'"
    return "needs crypt_r() of libcrypt (libxcrypt), which is not there"


def _made_by(stored: str) -> Callable[[bytes, str], bool] | None:
    if stored.startswith(_BCRYPT) and (checked := _by_package()) is not None:
        return checked
    return _by_library if _knows(stored[:3]) else None


@cache
def _by_package() -> Callable[[bytes, str], bool] | None:
    try:
        import bcrypt
    except ImportError:
        return None
    check: Any = bcrypt.checkpw
    return lambda password, stored: bool(check(password[:72], stored.encode()))  # more never counted


@cache
def _crypt() -> Any:
    for name in _LIBRARIES:
        with suppress(OSError, AttributeError):
            function = ctypes.CDLL(name).crypt_r
            function.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
            function.restype = ctypes.c_char_p
            return function
    return None


_EXAMPLES: Final = {
    "$2": "$2b$04$......................",
    "$5": "$5$rounds=1000$salt$",
    "$6": "$6$rounds=1000$salt$",
}


@cache
def _knows(kind: str) -> bool:
    """Whether the library has that kind of hash."""
    example = _EXAMPLES.get(kind[:2])
    if example is None or _crypt() is None:
        return False
    return (_hashed(b"x", example) or b"*").startswith(kind[:2].encode())


def _hashed(password: bytes, stored: str) -> bytes | None:
    made: bytes | None = _crypt()(password, stored.encode(), ctypes.create_string_buffer(_ROOM))
    return made


def _by_library(password: bytes, stored: str) -> bool:
    made = _hashed(password, stored)
    return made is not None and not made.startswith(b"*") and compare_digest(made, stored.encode())
