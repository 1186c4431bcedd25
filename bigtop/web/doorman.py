# Doorman of a console: who somebody is who asks for something, and how people log in and out.
#
# Rules: event loop only; passwords are compared in threads, two at a time, so that nobody can fill the memory
# with them. A user who was removed, or has another role or password now, is that at the next request.

from __future__ import annotations

import asyncio
import secrets
import time
from math import inf
from typing import Final

from bigtop.log import logger as get_logger
from bigtop.record import Record, replace
from bigtop.web.access import passwords
from bigtop.web.access.attempts import Attempts
from bigtop.web.access.links import Links
from bigtop.web.access.sessions import Person, Session, Sessions
from bigtop.web.store import Store

log = get_logger("bigtop.web")

_LOOK: Final = 1.0  # seconds between two looks at the users


class Denied(Record):
    """A login that failed: why, and for how many seconds to wait."""

    reason: str
    wait: float = 0.0


class Doorman:
    def __init__(self, store: Store, audience: str) -> None:
        self._store = store
        self._sessions = Sessions()
        self._attempts = Attempts()
        self._links = Links(store.secret, audience, time.time())
        self._scrypt = asyncio.Semaphore(2)
        self._users: dict[str, dict[str, str]] = {}
        self._looked = -_LOOK
        self._changed = -1.0

    # ---- who asks

    def session(self, word: str) -> Session | None:
        """Return the session with the id that a cookie says."""
        found = self._sessions.find(word, time.monotonic()) if word else None
        if found is None or found.person.how != "password":
            return found
        user = self._known().get(found.person.name)
        if user is None or user["password"] != found.kept:
            self._sessions.close(word)
            return None
        return replace(found, person=replace(found.person, role=user["role"]))

    def person_of_token(self, token: str, address: str) -> Person | Denied:
        """Return whose a token is."""
        keys, now = (f"address:{address}",), time.monotonic()
        if wait := self._attempts.wait(keys, now):
            return Denied("too many attempts", wait)
        person = self._store.person_of_token(token)
        if person is None:
            self._attempts.failed(keys, now)
            return Denied("no such token")
        return person

    # ---- in and out

    async def by_password(self, name: str, password: str, address: str) -> Person | Denied:
        """Return who that is. However often a name or an address fails, others are not held up."""
        keys = (f"name:{name[:100]}", f"address:{address}")
        if wait := self._attempts.wait(keys, time.monotonic()):
            return Denied("too many attempts", wait)
        user = self._store.users().get(name)
        what = passwords.NOBODY if user is None else user["password"]
        # It counts before it is known: many at once are as many failures.
        self._attempts.failed(keys, time.monotonic())
        async with self._scrypt:
            fits = await asyncio.to_thread(passwords.fits, password, what)
        if user is None or not fits:
            return Denied("the name or the password is wrong", self._attempts.wait(keys, time.monotonic()))
        for key in keys:
            self._attempts.succeeded(key)
        return Person(name, user["role"], "password")

    def by_link(self, word: str, address: str) -> Person | Denied:
        keys, now = (f"address:{address}",), time.monotonic()
        if wait := self._attempts.wait(keys, now):
            return Denied("too many attempts", wait)
        person = self._links.spend(word, time.time())
        if person is None:
            self._attempts.failed(keys, now)
            return Denied("this link was used, or is too old: bigtop web login-url makes another one")
        return person

    def enter(self, person: Person, before: str) -> str:
        """Begin a session and return its id; the one `before`, whoever made it, ends."""
        if before:
            self._sessions.close(before)
        word = secrets.token_urlsafe(32)
        self._looked = -inf  # at users: this one may have been added a moment ago
        user = self._store.users().get(person.name) if person.how == "password" else None
        kept = "" if user is None else user["password"]
        self._sessions.open(person, word, secrets.token_urlsafe(32), time.monotonic(), kept)
        return word

    def leave(self, word: str) -> None:
        self._sessions.close(word)

    def _known(self) -> dict[str, dict[str, str]]:
        now = time.monotonic()
        if now - self._looked >= _LOOK:
            self._looked = now
            changed = self._store.changed
            if changed != self._changed:
                self._users, self._changed = self._store.users(), changed
        return self._users
