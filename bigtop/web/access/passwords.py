# Passwords and tokens: what is kept of them, and whether somebody knows one.
#
# Rules: pure; chance is an argument. A password is chosen by a person, so guessing has to be slow (scrypt). A
# token has 256 bits of chance: its digest is enough.

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

# 16 MiB and a twentieth of a second each: OWASP's second choice of five that are worth the same.
_N, _R, _P = 1 << 14, 8, 5
_MEMORY: Final = 64 << 20
SHORTEST: Final = 10  # characters
LONGEST: Final = 1024


def kept(password: str, salt: bytes) -> str:
    """Return what is kept of a password; ValueError: it is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise ValueError(f"a password has {SHORTEST} to {LONGEST} characters")
    digest = _scrypt(password.encode(), salt, _N, _R, _P)
    parts = ("scrypt", str(_N), str(_R), str(_P), base64.b64encode(salt).decode())
    return "$".join((*parts, base64.b64encode(digest).decode()))


def fits(password: str, what: str) -> bool:
    """Say whether that was kept of `password`; ValueError: it is nothing that kept() returns."""
    kind, n, r, p, salt, digest = what.split("$")
    if kind != "scrypt":
        raise ValueError(f"unknown kind {kind}")
    if len(password) > LONGEST:
        return False
    # A lone surrogate, which JSON may hold, has no UTF-8: such a password is a wrong one, and no failure.
    raw = password.encode("utf-8", "surrogatepass")
    found = _scrypt(raw, base64.b64decode(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found, base64.b64decode(digest))


# Of a password that nobody knows: to ask for a user that is not there takes as long as for any other.
NOBODY: Final = f"scrypt${_N}${_R}${_P}$AAAAAAAAAAAAAAAAAAAAAA==${base64.b64encode(bytes(32)).decode()}"


def of_token(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def _scrypt(password: bytes, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=_MEMORY, dklen=32)
