# Fill: an application call whose answer is for the cache, from the claim to the record.
#
# Rule 1: what cannot be kept is said, so that nobody waits for it: for a while the requests of that key go to
# the application side by side.
# Rule 2: whatever becomes of the call, its claim is given back. A worker that is killed gives back its claims
# by that.
# Rule 3: an answer is kept when all of it is there, as long as it was announced.

from __future__ import annotations

from time import time
from typing import Final

from bigtop.backends.native.cache.shelf import Look, Shelf
from bigtop.http.cache.kept import NAME, SECOND, Kept, kept_of, renewed, reply_of
from bigtop.http.cache.keys import CONDITIONS, Asked
from bigtop.http.cache.terms import Terms, terms_of
from bigtop.http.handlers import Draft, Reply
from bigtop.http.messages import Request
from bigtop.http.response import Headers
from bigtop.ipc.cache_arena import Claim
from bigtop.ipc.cache_layout import Count
from bigtop.system.clock import monotonic_ns

FILLING: Final = 30 * SECOND  # for which a claim is believed
PASSING: Final = 10 * SECOND  # for which nobody waits for a key whose answer was not for a cache
FAILING: Final = SECOND  # the same, where the application failed


class Fill:
    """One call. `claim` is None where others may be at work on the same. `reason` is for Cache-Status.
    `refreshes`: its client has been answered with what was kept."""

    __slots__ = (
        "_asked",
        "_is_over",
        "_look",
        "_purges",
        "_request",
        "_shelf",
        "claim",
        "reason",
        "refreshes",
    )

    def __init__(self, shelf: Shelf, request: Request, asked: Asked, look: Look, reason: str) -> None:
        self._shelf = shelf
        self._request = request
        self._asked = asked
        self._look = look
        self._purges = shelf.arena.purges
        self._is_over = False
        self.claim: Claim | None = None
        self.reason = reason
        self.refreshes = False

    @property
    def largest(self) -> int:
        """How many bytes of an answer are kept at most."""
        return self._shelf.arena.largest

    # ---- the answer of the application

    def filter(self, draft: Draft) -> None:
        """See to what becomes of an answer, whose head is about to go out."""
        if self._is_over or self.refreshes or draft.parts is not None:
            return
        code, kept, now = int(draft.status[:3]), self._look.kept, monotonic_ns()
        if kept is not None:  # what was asked of the application was not the client's wish
            self._request.headers = [
                pair for pair in self._request.headers if pair[0].lower() not in CONDITIONS
            ]
        if kept is not None and code == 304:
            draft.replace(self._confirmed(kept, draft.headers, now))
        elif kept is not None and code >= 500 and now < kept.spare_until:
            self._end(now + FAILING)
            self._count(Count.STALE)
            draft.replace(
                self._reply(kept, f"fwd={self.reason}; fwd-status={code}; detail=stale-if-error", now)
            )
        else:
            self._record(draft, code, now)

    def _record(self, draft: Draft, code: int, now: int) -> None:
        """Have an answer recorded on its way, where it may be kept."""
        terms = self._terms(code, draft.headers)
        announced, largest = _announced(draft), self.largest
        if terms is None or (draft.size or announced or 0) > largest:
            self._end(now + (FAILING if code >= 500 else PASSING))
            status = f"fwd={self.reason}"
        else:
            kept = kept_of(self._asked.url, draft.status, draft.headers, b"", terms, now)
            # As an encoder, but one that leaves the body as it is: so the head keeps its Content-Length.
            draft.encoders.insert(0, Recording(self, kept, announced, largest))
            status = f"fwd={self.reason}; stored"
        draft.headers.append(("Cache-Status", f"{NAME}; {status}"))

    def take(self, status: str, headers: Headers, body: bytes) -> None:
        """Take a whole answer that no client waits for."""
        code, kept, now = int(status[:3]), self._look.kept, monotonic_ns()
        if kept is not None and code == 304:
            self._confirmed(kept, headers, now)
        elif (terms := self._terms(code, headers)) is None:
            self._end(now + (FAILING if code >= 500 else PASSING))
        else:
            self.keep(kept_of(self._asked.url, status, headers, body, terms, now))

    def keep(self, kept: Kept) -> None:
        """Keep an answer that is complete."""
        if not self._is_over:
            self._is_over = True
            claim, self.claim = self.claim, None
            self._shelf.keep(self._asked, self._request, kept, claim, self._purges, monotonic_ns())

    def give_up(self) -> None:
        """The answer turned out to be too long, or not to be all of it."""
        self._end(monotonic_ns() + PASSING)

    def __call__(self) -> None:
        """The call is over."""
        self._end(0 if self.refreshes else monotonic_ns() + FAILING)

    # ---- what is decided

    def _terms(self, code: int, headers: Headers) -> Terms | None:
        found = terms_of(code, headers, time(), heeds_accel=self._shelf.heeds_accel)
        return None if found is None or (self._asked.is_private and not found.is_public) else found

    def _confirmed(self, kept: Kept, headers: Headers, now: int) -> Reply:
        """Return the answer that was kept, and that the application has confirmed."""
        terms = self._terms(200, renewed(kept, headers, _NO_TERMS, now).headers)
        if terms is None:
            self._end(now + PASSING)
            return self._reply(kept, f"fwd={self.reason}; fwd-status=304", now)
        new = renewed(kept, headers, terms, now)
        self.keep(new)
        return self._reply(new, f"fwd={self.reason}; fwd-status=304; stored", now)

    def _reply(self, kept: Kept, status: str, now: int) -> Reply:
        return reply_of(kept, self._asked.conditions, status, now)

    def _end(self, passes_until: int) -> None:
        if self._is_over:
            return
        self._is_over = True
        claim, self.claim = self.claim, None
        if claim is not None:
            self._shelf.arena.release(claim, passes_until)

    def _count(self, what: Count) -> None:
        self._shelf.arena.counts.add(what)


def _announced(draft: Draft) -> int | None:
    """Return the Content-Length of an answer, which its body may fall short of; None if there is none."""
    text = draft.header("content-length")
    return int(text) if text is not None and text.isdecimal() else None


_NO_TERMS: Final = Terms(0, 0, 0, 0, is_public=False)


class Passing:
    """A call of which nothing is kept, for a `reason` in words of RFC 9211. If it changed something, the
    answer of its URL is forgotten (RFC 9111, 4.4)."""

    __slots__ = ("_asked", "_reason", "_shelf")

    def __init__(self, shelf: Shelf, asked: Asked, reason: str) -> None:
        self._shelf = shelf
        self._asked = asked
        self._reason = reason

    def filter(self, draft: Draft) -> None:
        if self._reason == "method" and draft.status < "4":
            self._shelf.forget(self._asked)
        draft.headers.append(("Cache-Status", f"{NAME}; fwd={self._reason}"))

    def __call__(self) -> None:
        """Nothing is left to do."""


class Recording:
    """An Encoder that leaves a body as it is, and has `fill` keep it, at most `largest` bytes."""

    __slots__ = ("_fill", "_kept", "_largest", "_pieces", "_size", "_wanted")

    def __init__(self, fill: Fill, kept: Kept, wanted: int | None, largest: int) -> None:
        self._fill = fill
        self._kept = kept
        self._wanted = wanted  # bytes, as they were announced
        self._largest = largest
        self._pieces: list[bytes] = []
        self._size = 0

    def encode(self, piece: bytes) -> bytes:
        if self._size >= 0:
            self._size += len(piece)
            if self._size > self._largest:
                self._pieces, self._size = [], -1
                self._fill.give_up()
            else:
                self._pieces.append(bytes(piece))
        return piece

    def finish(self, piece: bytes) -> bytes:
        self.encode(piece)
        if self._size >= 0 and self._wanted in (None, self._size):
            self._fill.keep(self._kept._replace(body=b"".join(self._pieces)))
        else:
            self._fill.give_up()
        return piece
