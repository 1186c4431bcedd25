# The arena of the response cache: what is kept is whole or not there, whoever dies, and memory is bounded.

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigtop.backends.native.cache.shelf import refresh
from bigtop.ipc.cache_arena import Arena, create
from bigtop.ipc.cache_layout import SETS_AT, SMALLEST, WAYS, Count, size_of, totals_of
from bigtop.ipc.cache_slot import is_alive, is_claimed

SECOND = 1_000_000_000
NOW = 1000 * SECOND


@contextmanager
def arenas(count: int = 1, size: int = SMALLEST) -> Iterator[list[Arena]]:
    fd = create(size)
    try:
        yield [Arena(fd, number) for number in range(count)]
    finally:
        os.close(fd)


@pytest.fixture
def arena() -> Iterator[Arena]:
    with arenas() as (one,):
        yield one


def keep(arena: Arena, name: bytes, record: bytes) -> bool:
    claim = arena.claim(arena.digest(name), NOW, NOW + SECOND)
    return claim is not None and arena.keep(claim, record)


def found(arena: Arena, name: bytes) -> bytes:
    return arena.find(arena.digest(name))[1]


def test_a_record_is_found_by_all(arena: Arena) -> None:
    with arenas(2) as (one, other):
        assert found(other, b"a") == b""
        assert keep(one, b"a", b"hello")
        assert found(one, b"a") == found(other, b"a") == b"hello"
        assert keep(other, b"a", b"another")
        assert found(one, b"a") == b"another"
        assert totals_of(one._fd).counts[Count.STORED] == 2


def test_keys_are_unforeseeable() -> None:
    with arenas() as (one,), arenas() as (other,):
        assert one.digest(b"a") != other.digest(b"a")
        assert len(one.digest(b"a")) == 16


def test_one_fills_and_others_see_it(arena: Arena) -> None:
    key = arena.digest(b"a")
    claim = arena.claim(key, NOW, NOW + SECOND)
    assert claim is not None
    slot, record = arena.find(key)
    assert record == b""
    assert is_claimed(slot, NOW + SECOND - 1)
    assert arena.claim(key, NOW, NOW + SECOND) is None
    assert arena.keep(claim, b"x")
    assert not is_claimed(arena.find(key)[0], NOW)
    assert not arena.keep(claim, b"y")  # which was given back
    assert found(arena, b"a") == b"x"


def test_a_record_is_there_while_it_is_made_anew(arena: Arena) -> None:
    keep(arena, b"a", b"old")
    claim = arena.claim(arena.digest(b"a"), NOW, NOW + SECOND)
    assert found(arena, b"a") == b"old"
    assert claim is not None
    arena.release(claim, 0)
    assert found(arena, b"a") == b"old"
    assert arena.claim(arena.digest(b"a"), NOW, NOW + SECOND) is not None


def test_who_is_late_loses_the_claim(arena: Arena) -> None:
    key = arena.digest(b"a")
    late = arena.claim(key, NOW, NOW + SECOND)
    soon = arena.claim(key, NOW + SECOND, NOW + 2 * SECOND)
    assert late is not None
    assert soon is not None
    assert not arena.keep(late, b"late")
    arena.release(late, NOW)
    assert is_claimed(arena.find(key)[0], NOW + SECOND)
    assert arena.keep(soon, b"soon")


def test_what_is_not_for_a_cache_is_said(arena: Arena) -> None:
    key = arena.digest(b"a")
    claim = arena.claim(key, NOW, NOW + SECOND)
    assert claim is not None
    arena.release(claim, NOW + 5 * SECOND)
    slot, record = arena.find(key)
    assert slot is not None
    assert (slot.passes_until, record) == (NOW + 5 * SECOND, b"")


def test_too_much_is_not_kept(arena: Arena) -> None:
    assert not keep(arena, b"a", bytes(arena.largest + 1))
    assert not keep(arena, b"a", b"")
    assert keep(arena, b"a", b"x" * arena.largest)
    assert len(found(arena, b"a")) == arena.largest


def test_the_oldest_make_room(arena: Arena) -> None:
    """A ring: what was kept last is there, as much as fits."""
    size = arena.largest // 2
    for number in range(100):
        assert keep(arena, b"%d" % number, b"%d:" % number + bytes(size))
    there = [number for number in range(100) if found(arena, b"%d" % number)]
    assert there == list(range(min(there), 100))
    assert len(there) >= 2 * 8 - 2
    for number in there:
        assert found(arena, b"%d" % number).startswith(b"%d:" % number)
    totals = totals_of(arena._fd)
    assert totals.used == totals.size


def test_what_is_asked_for_is_written_anew(arena: Arena) -> None:
    assert keep(arena, b"wanted", b"w" * 100)
    for number in range(100):
        slot, record = arena.find(arena.digest(b"wanted"))
        assert slot is not None
        assert record == b"w" * 100, number
        if arena.is_old(slot):
            refresh(arena, arena.digest(b"wanted"), slot, NOW)
        keep(arena, b"%d" % number, bytes(arena.largest // 2))


def test_a_set_is_bounded_and_its_oldest_makes_room(arena: Arena) -> None:
    sets = size_of(SMALLEST)[0] // WAYS
    keys = [(5 + sets * number).to_bytes(8, "little") + b"x" * 8 for number in range(1, WAYS + 2)]
    for key in keys:
        claim = arena.claim(key, NOW, NOW + SECOND)
        assert claim is not None
        arena.keep(claim, key)
    assert [bool(arena.find(key)[1]) for key in keys] == [False, *[True] * WAYS]
    assert totals_of(arena._fd).counts[Count.EVICTED] == 1


def test_a_set_of_claims_has_no_room(arena: Arena) -> None:
    sets = size_of(SMALLEST)[0] // WAYS
    keys = [(5 + sets * number).to_bytes(8, "little") + b"x" * 8 for number in range(1, WAYS + 2)]
    claims = [arena.claim(key, NOW, NOW + SECOND) for key in keys]
    assert [claim is None for claim in claims] == [*[False] * WAYS, True]


# ---- purges


def test_a_purge_forgets_what_is_meant(arena: Arena) -> None:
    for name in (b"a", b"b", b"c"):
        keep(arena, name, b"record of " + name)
    assert arena.purge(lambda record: record.endswith(b"b")) == 1
    assert [found(arena, name) for name in (b"a", b"b")] == [b"record of a", b""]
    assert arena.purge() == 2
    assert not found(arena, b"a")


def test_what_was_begun_before_a_purge_is_not_kept(arena: Arena) -> None:
    key = arena.digest(b"a")
    claim = arena.claim(key, NOW, NOW + SECOND)
    assert claim is not None
    arena.purge(lambda record: False)
    assert not arena.keep(claim, b"old")
    assert not found(arena, b"a")
    assert keep(arena, b"a", b"new")


def test_what_is_dropped_while_it_is_filled_is_not_kept(arena: Arena) -> None:
    claim = arena.claim(arena.digest(b"a"), NOW, NOW + SECOND)
    assert claim is not None
    assert not arena.drop(claim.key)
    assert not arena.keep(claim, b"old")
    keep(arena, b"a", b"new")
    assert arena.drop(claim.key)


# ---- who dies, or writes nonsense


def forked(work: Callable[[], object]) -> int:
    """Return the process that does `work` and ends."""
    if pid := os.fork():
        return pid
    try:
        work()
    finally:
        os._exit(0)


def test_who_is_killed_has_no_claim_and_no_lock() -> None:
    with arenas() as (arena,):
        key = arena.digest(b"a")
        ready, done = os.pipe()

        def fill_forever() -> None:
            arena.claim(key, NOW, NOW + 10**6 * SECOND)
            with arena._locked():
                os.write(done, b"x")
                signal.pause()

        pid = forked(fill_forever)
        try:
            assert os.read(ready, 1) == b"x"
            slot = arena.find(key)[0]
            assert is_claimed(slot, NOW)
            assert arena.claim(arena.digest(b"b"), NOW, NOW + SECOND) is None  # the lock is not to be had
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(ready)
            os.close(done)
        assert not is_alive(pid)
        assert not is_claimed(slot, NOW)
        claim = arena.claim(key, NOW, NOW + SECOND)
        assert claim is not None
        assert arena.keep(claim, b"by another one")
        assert found(arena, b"a") == b"by another one"


@given(st.lists(st.tuples(st.integers(0, SMALLEST - 1), st.binary(min_size=1, max_size=80)), max_size=30))
@settings(max_examples=60, deadline=None)
def test_whatever_was_written_over_it_a_record_is_whole_or_not_there(writes: list[tuple[int, bytes]]) -> None:
    """As if somebody had died in the middle of each of these."""
    with arenas() as (arena,):
        names = [b"%d" % number for number in range(20)]
        for name in names:
            keep(arena, name, name * 500)
        slots = SETS_AT
        for at, data in writes:
            where = slots + at % (SMALLEST - slots - len(data))
            arena._memory[where : where + len(data)] = data
        for name in names:
            assert found(arena, name) in (b"", name * 500)
        for name in names:  # and all goes on
            assert keep(arena, name, name * 300)
            assert found(arena, name) == name * 300


def test_nobody_ever_sees_a_torn_record() -> None:
    """Three processes fill and look, of which two are killed again and again, in a ring that goes round."""

    def work(arena: Arena, seed: int) -> None:
        chance = random.Random(seed)
        while True:
            name = b"%d" % chance.randrange(12)
            record = name * chance.randrange(1, arena.largest // 4)
            keep(arena, name, record)

    with arenas() as (arena,):
        names = {b"%d" % number for number in range(12)}
        children = [forked(lambda seed=seed: work(arena, seed)) for seed in range(2)]
        seen = 0
        try:
            for turn in range(12):
                for _ in range(40):
                    for name in names:
                        record = found(arena, name)
                        assert not record or record == name * (len(record) // len(name))
                        seen += bool(record)
                old = turn % 2
                os.kill(children[old], signal.SIGKILL)
                os.waitpid(children[old], 0)
                children[old] = forked(lambda seed=turn: work(arena, seed))
        finally:
            for pid in children:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        assert seen
        assert keep(arena, b"at last", b"x")


def test_what_is_no_arena_is_refused() -> None:
    ends = os.pipe()
    try:
        with pytest.raises(ValueError, match="no arena of a cache"):
            Arena(ends[0])
    finally:
        for end in ends:
            os.close(end)
