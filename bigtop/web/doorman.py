# Doorman of a console: who somebody is who asks for something, and how people log in and out.
#
# Rules: event loop only; passwords are compared in threads, two at a time, so that nobody can fill the memory
# with them. A user who was removed, or has another role or password now, is that at the next request.
# Sessions are kept in the store, as digests: they outlive the console.

from __future__ import annotations

import asyncio
import secrets
import time
from math import inf
from typing import Final

from bigtop.errors import BigtopError
from bigtop.log import logger as get_logger
from bigtop.record import Record, replace
from bigtop.web.access import passwords, sessions
from bigtop.web.access.attempts import Attempts
from bigtop.web.access.links import Links
from bigtop.web.access.sessions import Person, Session, Sessions
from bigtop.web.store import Store

log = get_logger("bigtop.web")

_LOOK: Final = 1.0  # seconds between two looks at what is kept


class Denied(Record):
    """A login that failed: why, and for how many seconds to wait."""

    reason: str
    wait: float = 0.0


class Doorman:
    def __init__(self, store: Store, audience: str) -> None:
        self._store = store
        self._audience = audience
        self._secret = store.secret
        self._sessions = Sessions()
        self._kept = 0.0  # when sessions were written last, as the store has it
        self._attempts = Attempts()
        self._links = Links(self._secret, audience, time.time())
        self._scrypt = asyncio.Semaphore(2)
        self._users: dict[str, dict[str, str]] = {}
        self._looked = -_LOOK
        self._changed = -1.0
        self._take_sessions()

    # ---- who asks

    def session(self, word: str) -> Session | None:
        """Return the session with the id that a cookie says."""
        users = self._known()
        found = self._sessions.find(word, time.time()) if word else None
        if self._sessions.has_news:
            self._keep_sessions()
        if found is None or found.person.how != "password":
            return found
        user = users.get(found.person.name)
        if user is None or sessions.digest_of(user["password"]) != found.kept:
            self.leave(word)
            return None
        return replace(found, person=replace(found.person, role=user["role"]))

    def proof(self, word: str) -> str:
        """Return what our pages send with what changes something, in the session with that id."""
        return sessions.proof(self._secret, word)

    def person_of_token(self, token: str, address: str) -> Person | Denied:
        """Return whose a token is."""
        keys, now = (self._attempts.of_address(address),), time.monotonic()
        if wait := self._attempts.wait(keys, now):
            return Denied("too many attempts", wait)
        person = self._store.person_of_token(token)
        if person is None:
            self._attempts.failed(keys, now)
            return Denied("no such token")
        return person

    # ---- in and out

    async def by_password(self, name: str, password: str, address: str) -> Person | Denied:
        """Return who that is. However often an address fails, others are not held up."""
        keys = self._attempts.of_login(name, address)
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
        self._attempts.succeeded(keys)
        self._attempts.remember(name, address)
        return Person(name, user["role"], "password")

    def by_link(self, word: str, address: str) -> Person | Denied:
        keys, now = (self._attempts.of_address(address),), time.monotonic()
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
        kept = "" if user is None else sessions.digest_of(user["password"])
        self._sessions.open(person, word, time.time(), kept)
        self._keep_sessions()
        return word

    def leave(self, word: str) -> None:
        self._sessions.close(word)
        self._keep_sessions()

    # ---- what is kept

    def _known(self) -> dict[str, dict[str, str]]:
        now = time.monotonic()
        if now - self._looked >= _LOOK:
            self._looked = now
            changed = self._store.changed
            if changed != self._changed:
                self._users, self._changed = self._store.users(), changed
            if self._store.sessions_changed(self._audience) != self._kept:  # somebody has ended them
                self._take_sessions()
        return self._users

    def _take_sessions(self) -> None:
        """Go on with the sessions that are kept."""
        self._kept = self._store.sessions_changed(self._audience)
        try:
            self._sessions.take(self._store.sessions(self._audience) or "{}")
        except (BigtopError, ValueError) as error:
            log.warning("sessions cannot be read, everybody has to log in again: %s", error)

    def _keep_sessions(self) -> None:
        try:
            kept = self._store.keep_sessions(self._audience, self._sessions.text(), self._kept)
        except BigtopError as error:
            log.warning("sessions cannot be kept, and end with the console: %s", error)
            return
        if kept is None:
            self._take_sessions()
        else:
            self._kept = kept
