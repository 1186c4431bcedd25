# Sessions of people who have logged in: who they are, and for how long.
#
# Rules: pure; time is an argument, POSIX time, since sessions outlive the console. A session's id is made at
# the login and never taken from a client, so nobody can be given one that somebody else knows. What is kept
# of it is its digest. A session ends after twelve hours in which nobody used it, and after seven days however
# much it was.

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Final

from bigtop.record import Record, replace
from bigtop.web.access.roles import ROLES

IDLE: Final = 12 * 3600.0  # seconds
LONGEST: Final = 7 * 86400.0  # seconds
MOST: Final = 1000  # with one more, the one that was not used for longest ends
_LAGS: Final = 600.0  # seconds, by which what is kept of the last use may be behind


class Person(Record):
    """Who somebody is, and how that is known: "link", "password", "token"."""

    name: str
    role: str
    how: str


class Session(Record):
    """`kept` is the digest of what was kept of the password that opened it, "" where it was none."""

    person: Person
    began: float
    used: float
    kept: str = ""


class Sessions:
    """`has_news`: text() has something to say that matters, since it was called last."""

    def __init__(self) -> None:
        self._by_digest: dict[str, Session] = {}
        self._told: dict[str, float] = {}  # when each was used, as it was told last
        self.has_news = False

    def open(self, person: Person, word: str, now: float, kept: str = "") -> None:
        """Begin one; `word` is its id, made by chance."""
        self._forget(now)
        if len(self._by_digest) >= MOST:
            del self._by_digest[min(self._by_digest, key=lambda digest: self._by_digest[digest].used)]
        self._by_digest[digest_of(word)] = Session(person, now, now, kept)
        self.has_news = True

    def find(self, word: str, now: float) -> Session | None:
        """Return the session with that id, which is used by that; None where there is none any more."""
        digest = digest_of(word)
        session = self._by_digest.get(digest)
        if session is None:
            return None
        if _is_over(session, now):
            del self._by_digest[digest]
            return None
        session = self._by_digest[digest] = replace(session, used=now)
        if now - self._told.get(digest, now) > _LAGS:
            self.has_news = True
        return session

    def close(self, word: str) -> None:
        if self._by_digest.pop(digest_of(word), None) is not None:
            self.has_news = True

    def __len__(self) -> int:
        return len(self._by_digest)

    def _forget(self, now: float) -> None:
        for digest in [key for key, session in self._by_digest.items() if _is_over(session, now)]:
            del self._by_digest[digest]

    # ---- from one console to the next

    def text(self) -> str:
        """Return all of it, to be kept; nobody can enter with what stands there."""
        self.has_news = False
        self._told = {digest: one.used for digest, one in self._by_digest.items()}
        return json.dumps(
            {
                digest: [*(one.person.name, one.person.role, one.person.how), one.began, one.used, one.kept]
                for digest, one in self._by_digest.items()
            }
        )

    def take(self, text: str) -> None:
        """Go on with what text() returned, and with nothing else; ValueError: it is nothing of that kind."""
        found: dict[str, Session] = {}
        try:
            for digest, (name, role, how, began, used, kept) in json.loads(text).items():
                if role not in ROLES:
                    raise ValueError(f"there is no role {role!r}")
                found[digest] = Session(
                    Person(str(name), role, str(how)), float(began), float(used), str(kept)
                )
        except (AttributeError, TypeError) as error:
            raise ValueError(f"no sessions: {error}") from None
        self._by_digest = found
        self._told = {digest: one.used for digest, one in found.items()}
        self.has_news = False


def _is_over(session: Session, now: float) -> bool:
    return now - session.used >= IDLE or now - session.began >= LONGEST


def digest_of(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()


def proof(secret: bytes, word: str) -> str:
    """Return what proves that a request was made by one of our pages: it is told to who has the session with
    the id `word`, and no other site can read it."""
    return hmac.digest(secret, b"page of " + word.encode(), hashlib.sha256).hex()
