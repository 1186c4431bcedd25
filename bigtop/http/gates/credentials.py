# Credentials of Basic auth (RFC 7617): what a request says, and the file that says who may come (htpasswd).
#
# Rule: only hashes that take time to try are taken: bcrypt, and crypt(3)'s SHA-256 and SHA-512. Whoever got
# hold of a file with others would have the passwords as well.

from __future__ import annotations

import re
from binascii import Error, a2b_base64
from collections.abc import Iterable
from typing import Final, NamedTuple

BCRYPT: Final = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
SHA: Final = re.compile(
    r"\$([56])\$(?:rounds=([0-9]{1,9})\$)?[^$:\s]{0,16}\$([./A-Za-z0-9]{43}|[./A-Za-z0-9]{86})"
)
DEAREST: Final = 16  # of bcrypt: two to that power, some seconds
MOST_ROUNDS: Final = 5_000_000  # of SHA, some seconds
_NAME: Final = re.compile(r"[^:\x00-\x1f\x7f]{1,255}")
_WEAK: Final = {
    "{SHA}": "SHA-1 without salt",
    "{SSHA}": "SHA-1",
    "$apr1$": "MD5, as Apache has it",
    "$1$": "MD5",
}


class Credentials(NamedTuple):
    """The name of a user, and the password as it came."""

    user: str
    password: bytes


def credentials_of(headers: Iterable[tuple[bytes, bytes]]) -> Credentials | None:
    """Return what the fields of a request say; None where they say nothing, or no such thing."""
    said = [value for name, value in headers if name.lower() == b"authorization"]
    if len(said) != 1:
        return None
    scheme, _, text = said[0].partition(b" ")
    if scheme.lower() != b"basic" or len(text) > 1024:
        return None
    try:
        name, colon, password = a2b_base64(text.strip(), strict_mode=True).partition(b":")
        user = name.decode()
    except (Error, UnicodeDecodeError):
        return None
    return Credentials(user, password) if colon and _NAME.fullmatch(user) and b"\0" not in password else None


def users_of(text: str) -> dict[str, str]:
    """Return user -> hash, as a file says. ValueError names the line."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        user, colon, stored = line.partition(":")
        if not colon or not _NAME.fullmatch(user):
            raise ValueError(f"{number}: must be NAME:HASH, as `htpasswd -B` writes it")
        if problem := _problem(stored):
            raise ValueError(
                f"{number}: the password of {user} {problem}; make it anew: htpasswd -B FILE {user}"
            )
        if user in found:
            raise ValueError(f"{number}: {user} is there twice")
        found[user] = stored
    return found


def _problem(stored: str) -> str:
    """Return why a hash is not taken, "" where it is."""
    if bcrypt := BCRYPT.fullmatch(stored):
        return (
            ""
            if 4 <= int(bcrypt[1]) <= DEAREST
            else f"has a cost of {bcrypt[1]}: from 04 to {DEAREST} are taken"
        )
    if sha := SHA.fullmatch(stored):
        if len(sha[3]) != (43 if sha[1] == "5" else 86):
            return "is cut off"
        return "" if int(sha[2] or 0) <= MOST_ROUNDS else f"has more than {MOST_ROUNDS} rounds"
    for begin, what in _WEAK.items():
        if stored.startswith(begin):
            return f"is hashed with {what}, which is quickly guessed"
    return "is of no kind that is taken: bcrypt, SHA-256 and SHA-512 of crypt"


def challenge(realm: str) -> tuple[str, str]:
    """Return the field that asks for credentials."""
    return "WWW-Authenticate", f'Basic realm="{realm}", charset="UTF-8"'
