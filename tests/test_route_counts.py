"""Counts by route pattern: in a slot, when workers are gone, and as another process adds them up."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.ipc import histogram, route_counts, scoreboard
from bigtop.ipc.counters import LATENCIES, Count, RouteSums, of_routes
from bigtop.ipc.retired import RetiredRecord, RetiredView
from bigtop.ipc.route_counts import LONGEST, MOST, OTHER
from bigtop.ipc.scoreboard import Slot, View

SECOND = 10**9


class Worker:
    """A slot with both of its sides."""

    def __init__(self):
        memory = scoreboard.nothing()
        self.slot, self.view = Slot(memory), View(memory)

    def answer(self, pattern, took=1000, status=200):
        place = self.slot.begin(0, b"GET", b"c", b"/x")
        self.slot.route(place, pattern, took, status)
        self.slot.end(place, 0, took, status)

    def requests(self):
        return {pattern: counts[Count.REQUESTS] for pattern, counts in of_routes(self.view).items()}


@pytest.fixture
def worker():
    return Worker()


class TestSlot:
    def test_nothing_told_nothing_there(self, worker):
        assert of_routes(worker.view) == {}

    def test_what_is_counted(self, worker):
        for status in (101, 200, 204, 302, 404, 500, 503):
            worker.answer("/a/<b>", 3 * 10**6, status)
        worker.answer("/", 40)
        found = of_routes(worker.view)
        assert list(found) == ["/a/<b>", "/"]
        counts = found["/a/<b>"]
        assert counts[: Count.STATUS_5XX + 1] == [7, 1, 2, 1, 1, 2]
        assert counts[Count.LATENCY_NS] == 21 * 10**6
        assert counts[LATENCIES][histogram.bucket_of(3 * 10**6)] == 7
        assert sum(counts[LATENCIES]) == 7
        assert found["/"][LATENCIES][0] == 1

    @given(st.lists(st.tuples(st.integers(0, 200 * SECOND), st.integers(100, 599))))
    def test_any_answers(self, answers):
        worker = Worker()
        expected = [0] * histogram.SIZE
        for took, status in answers:
            worker.answer("/x", took, status)
            expected[histogram.bucket_of(took)] += 1
        found = of_routes(worker.view)
        if not answers:
            assert found == {}
            return
        assert found["/x"][LATENCIES] == expected
        assert found["/x"][Count.REQUESTS] == sum(found["/x"][1:6]) == len(answers)

    def test_those_that_are_too_many_are_one(self, worker):
        for number in (*range(200), *range(200)):
            worker.answer(f"/{number}")
        found = worker.requests()
        assert len(found) == MOST
        assert found["/62"] == 2
        assert found[OTHER] == 2 * (200 - (MOST - 1))

    def test_a_long_one_is_cut_between_characters(self, worker):
        worker.answer("/" + "é" * 100)
        worker.answer("/" + "é" * 101)  # both look the same
        assert worker.requests() == {"/" + "é" * ((LONGEST - 1) // 2): 2}

    def test_control_characters_are_told_as_words(self, worker):
        worker.answer("/\x1b[2J\n")
        (pattern,) = worker.requests()
        assert pattern.isprintable()

    def test_a_surrogate_is_none(self, worker):
        worker.answer("/\udc80")
        assert worker.requests() == {r"/\udc80": 1}

    def test_a_record_has_its_pattern(self, worker):
        worker.answer("/a")
        worker.answer("/b")
        worker.slot.end(worker.slot.begin(5, b"GET", b"c", b"/x"), 5, 9000, 200)
        assert {record.route for record in worker.view.finished()} == {"/a", "/b", ""}

    @given(st.binary(max_size=scoreboard.SIZE - 20_000))
    def test_a_slot_may_hold_anything(self, noise):
        memory = scoreboard.nothing()
        memory[16384 : 16384 + len(noise)] = noise
        for pattern in of_routes(View(memory)):
            assert pattern.isprintable()
            assert len(pattern.encode()) <= LONGEST

    @pytest.mark.parametrize("number", [65, 2**63, 2**64 - 1])
    def test_the_row_of_a_record_may_be_none(self, worker, number):
        worker.answer("/a")
        worker.slot._heads[0][scoreboard._ROUTE] = number
        assert [record.route for record in worker.view.finished()] == [""]

    def test_what_did_not_change_is_not_read_again(self, worker):
        worker.answer("/a")
        worker.answer("/b")
        before = of_routes(worker.view)
        worker.answer("/b")
        now = of_routes(worker.view, before)
        assert now["/a"] is before["/a"]
        assert now["/b"][Count.REQUESTS] == 2


class TestTotals:
    """What is added up of workers that are there, and of those that are gone."""

    def test_nothing_goes_back_when_workers_go(self):
        record = RetiredRecord("tests")
        view = RetiredView(record.fd)
        sums = RouteSums()
        fds = []

        def totals(workers):
            state = view.state()
            sums.take(state.routes, {key: (worker.view, 10 * SECOND) for key, worker in workers.items()})
            return {pattern: counts[Count.REQUESTS] for pattern, counts in sums.totals.items()}

        try:
            living = {}
            for key in range(1, 6):
                fds.append(scoreboard.create(key))
                record.enter(key, key, fds[-1])
                living[key] = worker = Worker()
                for _ in range(key):
                    worker.answer("/a")
                worker.answer(f"/{key}")
            assert totals(living)["/a"] == 15
            for key in range(1, 6):
                worker = living.pop(key)
                worker.answer("/a")
                record.add(key, worker.view)
                assert totals(living)["/a"] == 15 + key
            assert totals(living) == {"/a": 20, **{f"/{key}": 1 for key in range(1, 6)}}
        finally:
            record.close()
            for fd in fds:
                os.close(fd)

    def test_there_are_no_more_of_them_than_in_one_slot(self):
        record = RetiredRecord("tests")
        try:
            view, sums, answered = RetiredView(record.fd), RouteSums(), 0
            for key in range(1, 5):
                worker = Worker()
                for number in range(50):
                    worker.answer(f"/{key}/{number}")
                    answered += 1
                sums.take(view.state().routes, {key: (worker.view, 10 * SECOND)})
                record.add(key, worker.view)
            sums.take(view.state().routes, {})
            for found in (view.state().routes, sums.totals):
                assert len(found) == MOST
                assert sum(counts[Count.REQUESTS] for counts in found.values()) == answered
        finally:
            record.close()

    def test_a_predecessor_is_gone_on_from(self):
        old, new = RetiredRecord("old"), RetiredRecord("new")
        try:
            worker = Worker()
            worker.answer("/a")
            old.add(0, worker.view)
            new.go_on_from(old)
            assert RetiredView(new.fd).state().routes["/a"][Count.REQUESTS] == 1
        finally:
            old.close()
            new.close()

    def test_what_no_worker_can_have_counted_is_not_believed(self):
        sums, worker = RouteSums(), Worker()
        worker.answer("/a")
        row = next(iter(worker.view.routes.rows()))
        row._words[route_counts.REQUESTS] = 2**63
        sums.take({}, {1: (worker.view, SECOND)})
        assert sums.totals["/a"][Count.REQUESTS] < 2**63
