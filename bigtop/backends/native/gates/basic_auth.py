# Basic auth: who is in a file of users is let in (--basic-auth).
#
# To try a password takes up to a second, for which no loop can wait. So what was found is remembered for a
# minute; what is not known yet is found out in the application's place, where waiting is allowed (Postponed).
# Rule 1: a user who does not exist takes as long as one who does.
# Rule 2: one password at a time is tried by a worker, so that a flood of wrong ones leaves it other CPUs, and
# ten requests with the same one try it once.
# Rule 3: wrong ones are counted by address (password_tries.py), for all workers together.
# Rule 4: passwords are not kept, only codes of them (HMAC), with a key that no other process has.

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from bigtop.backends.native.gates.fresh_file import FreshFile
from bigtop.backends.native.gates.password_tries import PasswordTries
from bigtop.backends.native.handlers.apart import Apart
from bigtop.http.clients.peer import BasePeer
from bigtop.http.gates.credentials import Credentials, challenge, credentials_of, users_of
from bigtop.http.handlers import Handler, Postponed, Reply, refusal_of
from bigtop.http.memo import remember
from bigtop.http.messages import Request
from bigtop.log import logger as get_logger
from bigtop.system import passwords
from bigtop.system.clock import monotonic_ns

log = get_logger("bigtop.backend")
KEPT: Final = 60_000_000_000  # nanoseconds for which an answer is believed
MOST: Final = 64  # requests that wait for an answer


class Users:
    """Those of a file, and what was found out about passwords."""

    def __init__(self, path: str, apart: Apart) -> None:
        self._file = FreshFile(path, users_of)
        from hmac import digest  # with OpenSSL, for those who have users

        self._digest = digest
        self.apart = apart
        self._key = os.urandom(32)
        self._right: dict[bytes, int] = {}  # code -> until when that is believed
        self._wrong: dict[bytes, int] = {}
        self._trying = apart.lock()
        self.waiting = 0

    def look(self, now: int) -> None:
        if self._file.look(now):
            self._right.clear()
            self._wrong.clear()

    def known(self, given: Credentials, now: int) -> bool | None:
        """Return whether these are right, None if that has to be found out."""
        code = self._code(given)
        if self._right.get(code, 0) > now:
            return True
        return False if self._wrong.get(code, 0) > now else None

    def find_out(
        self, given: Credentials, may_try: Callable[[], bool], wrong: Callable[[], None]
    ) -> bool | None:
        """The same, however long it takes; None if it is not known and may not be tried. `wrong` is called if
        it was, and is. From any thread."""
        self.waiting += 1
        try:
            with self._trying:
                known = self.known(given, monotonic_ns())  # somebody may have come before
                if known is None and may_try():
                    known = self._try(given)
                    if not known:
                        wrong()
                return known
        finally:
            self.waiting -= 1

    def _try(self, given: Credentials) -> bool:
        users = self._file.value
        stored = users.get(given.user)
        tried = next(iter(users.values()), "") if stored is None else stored
        if not tried:
            return False
        is_right = self.apart.run(lambda: passwords.is_right(given.password, tried)) and stored is not None
        found = self._right if is_right else self._wrong
        if users is self._file.value:  # else it was read again meanwhile
            remember(found, self._code(given), monotonic_ns() + KEPT)
        return is_right

    def _code(self, given: Credentials) -> bytes:
        return self._digest(self._key, given.user.encode() + b"\0" + given.password, "sha256")


class BasicAuth:
    """Lets users in, to the handlers `behind`, which it passes requests on to: also from other threads, one
    at a time."""

    def __init__(self, users: Users, tries: PasswordTries, realm: str, behind: Handler | None) -> None:
        self._users = users
        self._tries = tries
        self._behind = behind
        self._turn = users.apart.lock()
        self._refusal = refusal_of(401, "a user and a password are needed", challenge(realm), closes=False)
        self._busy = refusal_of(
            503, "too many passwords are tried at once", ("Retry-After", "1"), closes=False
        )

    def handle(self, request: Request, peer: BasePeer, now: int) -> Reply | None:
        given = credentials_of(request.headers)
        if given is None:
            return self._refusal
        users = self._users
        users.look(now)
        known = users.known(given, now)
        if known is None:
            if (refused := self._tries.refusal(request, peer, now)) is not None:
                return refused
            return (
                self._busy if users.waiting >= MOST else Postponed(lambda: self._decide(request, peer, given))
            )
        return self._let_in(request, peer, given, now) if known else self._refusal

    def _decide(self, request: Request, peer: BasePeer, given: Credentials) -> Reply | None:
        tries = self._tries
        try:
            is_right = self._users.find_out(
                given,
                # Again: others may have been wrong while this one waited.
                lambda: tries.refusal(request, peer, monotonic_ns()) is None,
                lambda: tries.wrong(request, peer, monotonic_ns()),
            )
        except LookupError as error:  # was told at the start, unless the file is another one
            log.error("%s: nobody is let in", error)
            return self._refusal
        if is_right is None:
            return tries.refusal(request, peer, monotonic_ns()) or self._refusal
        if not is_right:
            log.warning("a wrong password for %r from %s", given.user, peer.origin(request.headers).address)
            return self._refusal
        return self._let_in(request, peer, given, monotonic_ns())

    def _let_in(self, request: Request, peer: BasePeer, given: Credentials, now: int) -> Reply | None:
        request.user = given.user
        if self._behind is None:
            return None
        with self._turn:
            return self._behind.handle(request, peer, now)
