# Shelf: answers in an arena, as requests ask for them.
#
# Rule: an answer that depends on fields of requests (Vary) has a key of its own for each of their values. The
# key of its URL says which fields these are. Fields are only ever added: an answer that does not vary, of a
# URL whose others do, is for those alone who asked alike.

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, NamedTuple

from bigtop.http.cache.kept import Kept, Varies, decode, encode, encode_varies
from bigtop.http.cache.keys import MOST_NAMES, Asked, variant_of
from bigtop.http.cache.terms import vary_of
from bigtop.http.handlers import Reply
from bigtop.http.messages import Request
from bigtop.ipc.cache_arena import Arena, Claim
from bigtop.ipc.cache_slot import Slot, slot_in

KEPT: Final = 4 << 20  # bytes of bodies that a worker has at hand, besides the arena
_MARK: Final = 8  # bytes
_MOMENT: Final = 1_000_000_000  # nanoseconds in which a record is written


class Known:
    """A record that was read, of a slot with these `raw` bytes; and the reply that was made of it for a
    second of its age."""

    __slots__ = ("found", "raw", "reply", "slot")

    def __init__(self, raw: bytes, slot: Slot, found: Kept | Varies) -> None:
        self.raw = raw
        self.slot = slot
        self.found = found
        self.reply: tuple[int, Reply] | None = None


class Look(NamedTuple):
    """What there is for a request: under which digest it was looked for, what its slot says, and the answer.
    `varies`: the answers of this URL differ."""

    digest: bytes
    slot: Slot | None
    kept: Kept | None
    varies: Varies | None
    known: Known | None


class Shelf:
    """Answers in `arena`. `cookies` are the names of those that matter, none: all of them do."""

    __slots__ = ("_known", "_size", "arena", "cookies", "heeds_accel")

    def __init__(self, arena: Arena, cookies: Sequence[str], *, heeds_accel: bool) -> None:
        self.arena = arena
        self.cookies = tuple(cookies)
        self.heeds_accel = heeds_accel
        self._known: dict[bytes, Known] = {}  # what was read last: to copy and check it takes the most time
        self._size = 0

    def look(self, asked: Asked, request: Request, now: int) -> Look:
        """Return what there is for a request."""
        arena = self.arena
        digest = arena.digest(asked.key)
        slot, known = self._read(digest)
        varies = known.found if known is not None and isinstance(known.found, Varies) else None
        if varies is not None:
            digest = arena.digest(variant_of(asked.key, varies.mark, varies.names, request, self.cookies))
            slot, known = self._read(digest)
        kept = known.found if known is not None and isinstance(known.found, Kept) else None
        if kept is not None and slot is not None and arena.is_old(slot) and now < kept.fresh_until:
            refresh(arena, digest, slot, now)
        return Look(digest, slot, kept, varies, known)

    def _read(self, digest: bytes) -> tuple[Slot | None, Known | None]:
        arena = self.arena
        raw = arena.raw(digest)
        known = self._known.get(digest)
        if known is not None and known.raw == raw and arena.is_valid(known.slot):
            return known.slot, known
        slot = slot_in(raw)
        if slot is None:
            return None, None
        record = arena.record(slot)
        found = _decoded(record)
        if found is None:
            return slot, None
        known = Known(raw, slot, found)
        if len(record) <= KEPT // 8:
            self._size += len(record)
            if self._size > KEPT:
                self._known.clear()
                self._size = len(record)
            self._known[digest] = known
        return slot, known

    def keep(
        self, asked: Asked, request: Request, kept: Kept, claim: Claim | None, purges: int, now: int
    ) -> bool:
        """Keep an answer; `claim` is given back. False: that was not possible, or there was a purge since
        there were `purges`."""
        arena = self.arena
        digest = arena.digest(asked.key)
        before = _decoded(arena.find(digest)[1])
        names = set(vary_of(kept.headers))
        mark = b""
        if isinstance(before, Varies):
            names |= set(before.names)
            mark = before.mark if names == set(before.names) else b""
        if names and not mark:
            mark = os.urandom(_MARK)
            about = encode_varies(Varies(asked.url, tuple(sorted(names)), mark))
            if len(names) > MOST_NAMES or not self._put(digest, about, claim, purges, now):
                self._give_back(claim)
                return False
        if names:
            digest = arena.digest(variant_of(asked.key, mark, sorted(names), request, self.cookies))
        return self._put(digest, encode(kept), claim, purges, now)

    def _put(self, digest: bytes, record: bytes, claim: Claim | None, purges: int, now: int) -> bool:
        if claim is not None and claim.key != digest:
            self._give_back(claim)  # for nothing: it may be given back a second time
            claim = None
        if claim is None:
            claim = self.arena.claim(digest, now, now + _MOMENT, purges)
        return claim is not None and self.arena.keep(claim, record)

    def _give_back(self, claim: Claim | None) -> None:
        if claim is not None:
            self.arena.release(claim, 0)

    def forget(self, asked: Asked) -> None:
        """Forget what there is of a URL, whatever it varies by."""
        self.arena.drop(self.arena.digest(asked.key))


def refresh(arena: Arena, digest: bytes, slot: Slot, now: int) -> None:
    """Write a record anew, so that it is not forgotten soon."""
    record = arena.record(slot)
    claim = arena.claim(digest, now, now + _MOMENT) if record else None
    if claim is None:
        return
    if claim.purges == slot.purges or arena.find(digest)[1] == record:
        arena.keep(claim, record)
    else:
        arena.release(claim, 0)


def _decoded(record: bytes) -> Kept | Varies | None:
    if not record:
        return None
    try:
        return decode(record)
    except ValueError:
        return None
