"""Counters that only grow, whatever workers write and whenever they end."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from bigtop.ipc import counters
from bigtop.ipc.counters import LATENCIES, LENGTH, NONE, WAITS, Count, Sums, added, plausible, read
from bigtop.ipc.histogram import SIZE, bucket_of
from bigtop.ipc.scoreboard import LISTENERS, Slot, View, Word

YEAR = 365 * 86400 * 10**9


def row(requests=0, **others):
    counts = list(NONE)
    counts[Count.REQUESTS] = requests
    for name, value in others.items():
        counts[Count[name]] = value
    return counts


class TestRead:
    def test_what_a_slot_says(self):
        slot = Slot.unseen()
        words = {
            Word.REQUESTS: 20,
            Word.STATUS_1XX: 1,
            Word.STATUS_3XX: 2,
            Word.STATUS_4XX: 3,
            Word.ERRORS: 4,
            Word.ACCEPTED: 5,
            Word.HANDED_OFF: 6,
            Word.INTERRUPTED: 7,
            Word.BYTES_IN: 8,
            Word.BYTES_OUT: 9,
            Word.LATENCY_NS: 10,
            Word.CALL_NS: 11,
            Word.QUEUE_NS: 12,
        }
        for word, value in words.items():
            slot.words[word] = value
        slot.end(slot.begin(0, b"GET", b"c", b"/"), 0, 10**9, 200)
        slot.waited(10**8)
        counts = read(View(slot._memory))
        assert counts[: len(Count)] == [20, 1, 10, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
        for part, time in ((LATENCIES, 10**9), (WAITS, 10**8)):
            histogram = counts[part]
            assert len(histogram) == SIZE
            assert (histogram[0], histogram[bucket_of(time)]) == (19, 1)

    def test_a_server_that_tells_no_time_in_the_application_was_always_in_it(self):
        slot = Slot.unseen()
        slot.words[Word.LATENCY_NS] = 9
        assert read(View(slot._memory))[Count.CALL_NS] == 9

    @given(st.lists(st.integers(0, 2**64 - 1), min_size=32, max_size=32))
    def test_anything_may_stand_there(self, noise):
        slot = Slot.unseen()
        for word, value in enumerate(noise):
            slot.words[word] = value
        counts = read(View(slot._memory))
        assert len(counts) == LENGTH
        assert min(counts) >= 0
        assert max(plausible(counts, YEAR)) < 10**22  # so the totals of any number of such workers have room


class TestPlausible:
    def test_an_honest_worker_is_believed(self):
        counts = row(10**6, BYTES_OUT=10**10, LATENCY_NS=10**13)
        assert plausible(counts, 10**9) == counts

    def test_more_than_can_be_is_nothing(self):
        assert plausible(row(10**9, BYTES_OUT=5), 10**9, row(7)) == row(7, BYTES_OUT=5)
        assert plausible(row(2**64 - 1, LATENCY_NS=2**64 - 1), 0) == row()

    def test_what_is_taken_back_stays(self):
        assert plausible(row(3), 10**9, row(7)) == row(7)


class Life:
    """Workers whose counts are known, as supervisor and reader see them."""

    def __init__(self):
        self.sums = Sums()
        self.retired = list(NONE)
        self.live = {}
        self.shown = list(NONE)

    def look(self):
        self.sums.take(self.retired, {key: (counts, YEAR) for key, counts in self.live.items()})
        assert all(now >= before for now, before in zip(self.sums.total, self.shown, strict=True))
        self.shown = self.sums.total

    def end(self, key):
        self.retired = added(self.retired, self.live.pop(key))


class TestSums:
    @given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from("wwwwldn"), st.integers(0, 50))))
    def test_honest_workers_are_counted_exactly(self, steps):
        life, keys = Life(), itertools.count(10)
        names = {}
        answered = 0
        for worker, step, count in steps:
            key = names.setdefault(worker, next(keys))
            if step == "w":
                life.live[key] = added(life.live.get(key, NONE), row(count, STATUS_2XX=count))
                answered += count
            elif step == "l":
                life.look()
            elif step == "d" and key in life.live:
                life.end(key)
                del names[worker]
        life.look()
        assert life.sums.total == row(answered, STATUS_2XX=answered)

    @given(
        st.lists(
            st.tuples(st.sampled_from("hbld"), st.one_of(st.integers(0, 100), st.integers(0, 2**64 - 1)))
        )
    )
    def test_a_hostile_worker_costs_the_others_nothing(self, steps):
        life, keys = Life(), itertools.count(10)
        bad = next(keys)
        life.live[1] = row()
        honest = 0
        for step, value in steps:
            if step == "h":
                honest += value % 1000
                life.live[1] = row(honest, BYTES_IN=honest)
            elif step == "b":
                life.live[bad] = row(value)
            elif step == "d" and bad in life.live:
                life.live[bad] = plausible(life.live[bad], YEAR)  # as the supervisor adds it
                life.end(bad)
                bad = next(keys)
            else:
                life.look()
        life.look()
        assert life.sums.total[Count.BYTES_IN] == honest
        assert life.sums.total[Count.REQUESTS] >= honest

    def test_a_worker_that_was_never_seen_is_counted_when_it_is_gone(self):
        sums = Sums()
        sums.take(row(5), {})
        sums.take(row(9), {})
        assert sums.total == row(9)

    def test_one_that_says_less_before_its_end_than_it_did(self):
        sums = Sums()
        sums.take(NONE, {1: (row(1000), YEAR), 2: (row(5), YEAR)})
        sums.take(row(3), {2: (row(8), YEAR)})
        assert sums.total == row(1008)


def test_the_row_has_a_place_for_each() -> None:
    assert LENGTH == len(Count) + LISTENERS + 2 * SIZE == len(counters.NONE)
