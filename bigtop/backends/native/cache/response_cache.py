# Response cache (--cache): a handler that answers with what was kept, and a filter that keeps answers.
#
# The decisions are those of http/cache/, the memory is ipc/cache_arena.py, which all workers share.
# Rule 1: one request fills a key, the others wait for that, and no longer than they would have to. Who waits
# does so in the application's place (Turns): what is there by then is given, or it is their turn.
# Rule 2: a request that says who asks, by a Cookie or an Authorization, is given what is public only. It
# waits for that only where it was public before, and nobody waits for it.
# Rule 3: an answer that is stale, and may be given so, is; the one who is first to get it has it made anew
# behind its own answer.

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bigtop.backends.native.cache.fill import FILLING, Fill, Passing
from bigtop.backends.native.cache.shelf import Look, Shelf
from bigtop.backends.native.handlers.postponed import WAITING, Turns
from bigtop.http.cache.kept import SECOND, Kept, State, hit, reply_of, state_of, validators
from bigtop.http.cache.keys import CONDITIONS, Asked, asked_of
from bigtop.http.clients.peer import BasePeer
from bigtop.http.handlers import Draft, Handler, Postponed, Reply, refusal_of
from bigtop.http.messages import Request
from bigtop.ipc.cache_layout import Count
from bigtop.ipc.cache_slot import is_claimed
from bigtop.system.clock import monotonic_ns

PATIENCE: Final = 5 * SECOND  # for which one waits for another's fill; nginx, proxy_cache_lock_timeout: 5 s
_SAFE: Final = ("GET", "HEAD", "OPTIONS", "TRACE")


class ResponseCache:
    """Answers of one path; requests pass it to the handler `behind`. `pause` is how a call waits."""

    __slots__ = ("_behind", "_pause", "_shelf", "patience")

    def __init__(self, shelf: Shelf, behind: Handler | None, pause: Callable[[float], object]) -> None:
        self._shelf = shelf
        self._behind = behind
        self._pause = pause
        self.patience = PATIENCE

    # ---- requests

    def handle(self, request: Request, peer: BasePeer, now: int) -> Reply | None:
        shelf = self._shelf
        origin = peer.origin(request.headers)
        asked = asked_of(request, origin.scheme, origin.host, shelf.cookies)
        if asked.passes:
            return self._passed(request, peer, asked, now)
        if peer.session is not None and peer.session.client is not None:
            asked = asked._replace(is_private=True)  # by its certificate
        look = shelf.look(asked, request, now)
        kept = _usable(look.kept, asked)
        if kept is not None:
            state = state_of(kept, now)
            is_late = state is State.STALE and (request.method == "HEAD" or is_claimed(look.slot, now))
            if state is State.FRESH or is_late:
                return self._hit(request, asked, look, kept, now)
        if asked.only_cached:
            return refusal_of(504, "this is not in the cache", closes=False)
        reply = None if self._behind is None else self._behind.handle(request, peer, now)
        if reply is not None or request.method == "HEAD":
            return reply
        if asked.is_private and kept is None:
            shelf.arena.counts.add(Count.PASSED)
            request.cache_status = "BYPASS"
            request.fill = Fill(shelf, request, asked, look._replace(kept=None), "bypass")
            return None
        _ask_plainly(request, kept)
        return Postponed(Turns(lambda: self._turn(request, asked, kept, now), self._pause))

    def _passed(self, request: Request, peer: BasePeer, asked: Asked, now: int) -> Reply | None:
        request.cache_status = "BYPASS"
        self._shelf.arena.counts.add(Count.PASSED)
        request.fill = Passing(self._shelf, asked, "request" if request.method in _SAFE else "method")
        return None if self._behind is None else self._behind.handle(request, peer, now)

    def _hit(self, request: Request, asked: Asked, look: Look, kept: Kept, now: int) -> Reply:
        is_fresh = now < kept.fresh_until
        request.cache_status = "HIT" if is_fresh else "STALE"
        self._shelf.arena.counts.add(Count.HITS if is_fresh else Count.STALE)
        known = look.known
        if asked.conditions or known is None:
            return reply_of(kept, asked.conditions, hit(kept, now), now)
        second = (now - kept.at) // SECOND
        made = known.reply
        if made is None or made[0] != second:
            known.reply = made = (second, reply_of(kept, {}, hit(kept, now), now))
        return made[1]

    # ---- in the application's place

    def _turn(self, request: Request, asked: Asked, before: Kept | None, began: int) -> object:
        """Return the answer that is there by now, None: it is this request's turn to get one, or WAITING.
        `before` is what the application is asked to confirm."""
        shelf, arena, now = self._shelf, self._shelf.arena, monotonic_ns()
        look = shelf.look(asked, request, now)
        kept = _usable(look.kept, asked)
        state = State.OVER if kept is None else state_of(kept, now)
        if kept is not None and state is State.FRESH:
            request.cache_status = "HIT"
            arena.counts.add(Count.HITS)
            return reply_of(kept, asked.conditions, "fwd=uri-miss; collapsed", now)
        is_taken = is_claimed(look.slot, now)
        passes = look.slot is not None and now < look.slot.passes_until
        claim = None if is_taken or passes else arena.claim(look.digest, now, now + FILLING)
        if kept is not None and state is State.STALE:
            if claim is not None:
                request.fill = fill = Fill(shelf, request, asked, look._replace(kept=before), "stale")
                fill.claim, fill.refreshes = claim, True
            return self._hit(request, asked, look, kept, now)
        if is_taken and now - began < self.patience:
            return WAITING
        arena.counts.add(Count.PASSED if passes else Count.MISSES)
        request.cache_status = "MISS"
        reason = "stale" if before is not None else "vary-miss" if look.varies is not None else "uri-miss"
        request.fill = fill = Fill(shelf, request, asked, look._replace(kept=before), reason)
        fill.claim = claim
        return None

    # ---- answers

    def filter(self, request: Request, draft: Draft) -> None:
        fill = request.fill
        if isinstance(fill, (Fill, Passing)):
            fill.filter(draft)


def _usable(kept: Kept | None, asked: Asked) -> Kept | None:
    """Return what was kept if it is for who asks."""
    return kept if kept is not None and (kept.is_public or not asked.is_private) else None


def _ask_plainly(request: Request, kept: Kept | None) -> None:
    """Have the application give all of its answer, or confirm the one that was kept."""
    asks = [] if kept is None else validators(kept)
    headers = [pair for pair in request.headers if pair[0].lower() not in CONDITIONS]
    if asks or len(headers) < len(request.headers):
        request.headers = [*headers, *asks]
        request.fields = None
