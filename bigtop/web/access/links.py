# One-time links: a login without a password for who may read the console's secret.
#
# Rules: pure; time and chance are arguments. A link is for one console, lives a minute, and counts once. One
# that was made before the console started does not count: nobody could know whether it was used.

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Final

from bigtop.web.access.roles import ROLES
from bigtop.web.access.sessions import Person

LIFE: Final = 60.0  # seconds
_LONGEST: Final = 1024  # characters


def make(secret: bytes, audience: str, person: Person, nonce: str, now: float) -> str:
    """Return the word that logs `person` into the console `audience`; `now` is POSIX time."""
    said = {"for": audience, "name": person.name, "role": person.role, "nonce": nonce, "at": now}
    body = json.dumps(said).encode()
    return f"{_text(body)}.{_text(_seal(secret, body))}"


class Links:
    """Those that were used."""

    def __init__(self, secret: bytes, audience: str, now: float) -> None:
        self._secret = secret
        self._audience = audience
        self._since = now
        self._used: dict[str, float] = {}  # nonce -> when it was made

    def spend(self, word: str, now: float) -> Person | None:
        """Return whom a link is for, the first time; None where it does not count."""
        body, _, seal = word.partition(".")
        if len(word) > _LONGEST or not seal:
            return None
        try:
            raw = _bytes(body)
            if not hmac.compare_digest(_seal(self._secret, raw), _bytes(seal)):
                return None
            said = json.loads(raw)  # our own words, by the seal
        except ValueError:
            return None
        made, nonce = float(said["at"]), str(said["nonce"])
        self._used = {key: at for key, at in self._used.items() if now - at < LIFE}
        is_timely = self._since <= made <= now + 1.0 and now - made < LIFE
        if not is_timely or nonce in self._used or said["for"] != self._audience or said["role"] not in ROLES:
            return None
        self._used[nonce] = made
        return Person(str(said["name"]), said["role"], "link")


def _seal(secret: bytes, body: bytes) -> bytes:
    return hmac.digest(secret, body, hashlib.sha256)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.encode("ascii", "replace") + b"=" * (-len(text) % 4))
