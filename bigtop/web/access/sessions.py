# Sessions of people who have logged in: who they are, and for how long.
#
# Rules: pure; time and chance are arguments. A session's id is made at the login and never taken from a
# client, so nobody can be given one that somebody else knows. What is kept of it is its digest. A session
# ends after twelve hours in which nobody used it, and after seven days however much it was.

from __future__ import annotations

import hashlib
from typing import Final

from bigtop.record import Record, replace

IDLE: Final = 12 * 3600.0  # seconds
LONGEST: Final = 7 * 86400.0  # seconds
MOST: Final = 1000  # with one more, the one that was not used for longest ends


class Person(Record):
    """Who somebody is, and how that is known: "link", "password", "token"."""

    name: str
    role: str
    how: str


class Session(Record):
    """`token` proves that a request was made by one of our pages: no other site can read it. `kept` is what
    was kept of the password that opened it, "" where it was none."""

    person: Person
    token: str
    began: float
    used: float
    kept: str = ""


class Sessions:
    def __init__(self) -> None:
        self._by_digest: dict[str, Session] = {}

    def open(self, person: Person, word: str, token: str, now: float, kept: str = "") -> None:
        """Begin one; `word` is its id and `token` its proof, both made by chance."""
        self._forget(now)
        if len(self._by_digest) >= MOST:
            del self._by_digest[min(self._by_digest, key=lambda digest: self._by_digest[digest].used)]
        self._by_digest[_digest(word)] = Session(person, token, now, now, kept)

    def find(self, word: str, now: float) -> Session | None:
        """Return the session with that id, which is used by that; None where there is none any more."""
        digest = _digest(word)
        session = self._by_digest.get(digest)
        if session is None:
            return None
        if _is_over(session, now):
            del self._by_digest[digest]
            return None
        session = self._by_digest[digest] = replace(session, used=now)
        return session

    def close(self, word: str) -> None:
        self._by_digest.pop(_digest(word), None)

    def __len__(self) -> int:
        return len(self._by_digest)

    def _forget(self, now: float) -> None:
        for digest in [key for key, session in self._by_digest.items() if _is_over(session, now)]:
            del self._by_digest[digest]


def _is_over(session: Session, now: float) -> bool:
    return now - session.used >= IDLE or now - session.began >= LONGEST


def _digest(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()
