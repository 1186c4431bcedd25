# What workers know together of client addresses: rates and connections, in memory that processes share.

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.ipc import client_table, seats
from bigtop.ipc.client_table import RATE_SETS, ROW_SETS, WAYS, WIDTH, ClientTable, used
from bigtop.ipc.seats import Seat, Seats, SeatState

SECOND = 1_000_000_000


@pytest.fixture
def fds() -> Iterator[tuple[int, int]]:
    both = client_table.create(), seats.create()
    yield both
    for fd in both:
        os.close(fd)


def table(fds: tuple[int, int], mine: int = 0, state: int = SeatState.READY) -> ClientTable:
    """The table of a worker in a seat."""
    of_all = Seats(fds[1])
    made = ClientTable(fds[0], of_all, mine)
    if mine < seats.CAPACITY:
        of_all.words(mine)[Seat.STATE] = state
    return made


# ---- rates


@given(st.integers(1, 50), st.lists(st.integers(0, 10 * SECOND), max_size=120))
def test_a_bucket_gives_no_more_than_it_holds_and_what_flows_in(count: int, pauses: list[int]) -> None:
    price = SECOND // count
    full_at, now, given_out = 0, 1, 0
    for pause in pauses:
        now += pause
        before = full_at
        enough, full_at = used(full_at, now, price, price * count)
        given_out += enough
        assert enough == (max(before, now) + price - now <= price * count)
        assert enough or full_at == before
    assert given_out <= count + (now - 1) // price


def test_as_many_as_it_holds_come_at_once(fds: tuple[int, int]) -> None:
    one, other = table(fds), table(fds, 1)
    said = [(one, other)[i % 2].use(7, 1000, SECOND // 5, SECOND)[0] for i in range(12)]
    assert said == [True] * 5 + [False] * 7
    assert other.use(8, 1000, SECOND // 5, SECOND) == (True, 1000 + SECOND // 5)
    assert one.use(7, 1000 + SECOND // 5 - 1, SECOND // 5, SECOND) == (False, 1000 + SECOND)
    assert other.use(7, 1000 + SECOND // 5, SECOND // 5, SECOND)[0]
    assert not one.use(7, 1000 + SECOND // 5, SECOND // 5, SECOND)[0]


def test_of_a_full_set_that_is_forgotten_which_is_nearest_to_being_full(fds: tuple[int, int]) -> None:
    subject = table(fds)
    keys = [5 + RATE_SETS * number for number in range(1, WAYS + 1)]
    for number, key in enumerate(keys):
        for _ in range(1 + number):
            subject.use(key, 1, SECOND, 60 * SECOND)
    new = 5 + RATE_SETS * 100
    subject.use(new, 1, SECOND, 60 * SECOND)
    assert subject.use(keys[1], 1, SECOND, 60 * SECOND) == (True, 1 + 3 * SECOND)
    assert subject.use(keys[0], 1, SECOND, 60 * SECOND) == (True, 1 + SECOND)  # it begins anew


def test_processes_take_from_one_bucket(fds: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Four processes at once, whatever the scheduler does, get what there is and not one more."""
    monkeypatch.setattr(client_table, "_TRIES", 10**9)  # one of them may be stopped for long, with the lock
    read_end, write_end = os.pipe()
    children = []
    for number in range(4):
        if not (pid := os.fork()):
            status = 1
            try:
                mine = table(fds, number)
                got = sum(mine.use(3, 1, 1000, 1000 * 700)[0] for _ in range(500))
                os.write(write_end, got.to_bytes(2, "big"))
                status = 0
            finally:
                os._exit(status)
        children.append(pid)
    try:
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
    finally:
        os.close(write_end)
        counts = os.read(read_end, 100)
        os.close(read_end)
    assert sum(int.from_bytes(counts[at : at + 2], "big") for at in range(0, 8, 2)) == 700


# ---- connections


def test_connections_of_all_workers_count(fds: tuple[int, int]) -> None:
    one, other = table(fds), table(fds, 5)
    assert [one.enter(7), other.enter(7), one.enter(7), other.enter(8)] == [1, 2, 3, 1]
    one.leave(7)
    assert other.enter(7) == 3
    other.leave(7)
    other.leave(7)
    one.leave(7)
    assert one.enter(7) == 1


def test_those_of_a_worker_that_is_gone_do_not_count(fds: tuple[int, int]) -> None:
    one, dead = table(fds), table(fds, 1)
    assert [dead.enter(7), dead.enter(7), one.enter(7)] == [1, 2, 3]
    Seats(fds[1]).vacate(1)
    assert one.enter(7) == 3 - 2 + 1
    heir = table(fds, 1)
    assert heir.enter(7) == 3


def test_a_row_is_for_others_when_nobody_is_connected(fds: tuple[int, int]) -> None:
    one, other = table(fds), table(fds, 1)
    keys = [3 + ROW_SETS * number for number in range(1, WAYS + 3)]
    assert [one.enter(key) for key in keys[:WAYS]] == [1] * WAYS
    # No room: each worker counts such a one for itself.
    assert [one.enter(keys[WAYS]), other.enter(keys[WAYS]), one.enter(keys[WAYS])] == [1, 1, 2]
    one.leave(keys[2])
    assert [one.enter(keys[WAYS + 1]), other.enter(keys[WAYS + 1])] == [1, 2]
    for key in keys[:2]:
        assert other.enter(key) == 2


def test_a_worker_beyond_the_last_column_counts_for_itself(fds: tuple[int, int]) -> None:
    one, far = table(fds), table(fds, WIDTH)
    assert [one.enter(7), far.enter(7), far.enter(7)] == [1, 1, 2]
    far.leave(7)
    far.leave(7)
    assert far.enter(7) == 1


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from([1, 2, 1 + ROW_SETS]), st.booleans())))
def test_it_counts_as_a_dict_would(steps: list[tuple[int, int, bool]]) -> None:
    fds = client_table.create(), seats.create()
    try:
        workers = [table(fds, number) for number in range(3)]
        counts: dict[tuple[int, int], int] = {}
        for worker, key, comes in steps:
            mine = counts.get((worker, key), 0)
            if comes:
                counts[worker, key] = mine + 1
                total = sum(counts.get((other, key), 0) for other in range(3))
                assert workers[worker].enter(key) == total
            elif mine:
                counts[worker, key] = mine - 1
                workers[worker].leave(key)
    finally:
        for fd in fds:
            os.close(fd)


# ---- what others do


@contextmanager
def stopped_with_all_locks(fd: int) -> Iterator[None]:
    """A process that holds the lock of every set, and does nothing more."""
    import fcntl

    read_end, write_end = os.pipe()
    if not (pid := os.fork()):
        fcntl.lockf(fd, fcntl.LOCK_EX, 0, 0)
        os.write(write_end, b"x")
        signal.pause()
        os._exit(0)
    try:
        os.read(read_end, 1)
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(read_end)
        os.close(write_end)


def test_who_was_stopped_in_the_middle_stops_nobody(fds: tuple[int, int]) -> None:
    subject = table(fds)
    with stopped_with_all_locks(fds[0]):
        assert [subject.use(7, 1, 10, 20)[0] for _ in range(3)] == [True, True, False]
        assert [subject.enter(7), subject.enter(7)] == [1, 2]
    assert not subject.use(7, 1, 10, 20)[0]


def test_what_is_no_table_is_refused(fds: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no table of clients"):
        ClientTable(fds[1], Seats(fds[1]), 0)


def test_each_table_has_a_secret_of_its_own(fds: tuple[int, int]) -> None:
    assert table(fds).secret == table(fds, 1).secret != client_table.alone().secret
    assert any(table(fds).secret)
