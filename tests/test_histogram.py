"""Histograms of times: the bucket of each, and what can be told from many."""

from bisect import bisect_left
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.ipc.histogram import (
    ADVISED,
    BOUNDS,
    FAR,
    GROWTH,
    NEAR,
    QUICK,
    SHIFT,
    SIZE,
    advised,
    bucket_of,
    quantile,
    since,
    upper_bound,
)

TIMES = st.integers(0, 200 * 10**9)
IN_RANGE = st.integers(QUICK, BOUNDS[-1])
EMPTY = [0] * SIZE


def histogram(times):
    counts = [0] * SIZE
    for time in times:
        counts[bucket_of(time)] += 1
    return counts


class TestBounds:
    def test_they_cover_what_they_are_to(self):
        assert BOUNDS[0] <= 100_000
        assert BOUNDS[-1] >= 100 * 10**9
        assert sorted(set(BOUNDS)) == BOUNDS

    def test_none_is_more_than_nine_per_cent_above_the_one_before(self):
        ratios = [upper / lower for lower, upper in pairwise(BOUNDS)]
        assert max(ratios) < GROWTH * 1.0001

    def test_those_of_schema_3_and_of_opentelemetry_are_all_there(self):
        assert {int(2 ** (power / 8) * 10**9) for power in range(-107, 55)} <= set(BOUNDS)
        seconds = [bound / 10**9 for bound in ADVISED]
        assert seconds == [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
        assert set(ADVISED) <= set(BOUNDS)

    def test_the_table_finds_every_bucket(self):
        for bound in BOUNDS:
            for time in (bound - 1, bound, bound + 1):
                assert bucket_of(time) == bisect_left(BOUNDS, time)
        for time in (0, 1, FAR - 1, FAR, FAR + 1, *range(0, FAR, 1 << SHIFT)):
            assert bucket_of(time) == bisect_left(BOUNDS, time)

    def test_no_step_of_the_table_has_two_bounds(self):
        steps = [bound >> SHIFT for bound in BOUNDS if bound < FAR]
        assert len(set(steps)) == len(steps)
        assert len(NEAR) == FAR >> SHIFT

    @given(TIMES)
    def test_any_time(self, time):
        assert bucket_of(time) == bisect_left(BOUNDS, time)


class TestMany:
    @given(st.lists(TIMES), st.lists(TIMES))
    def test_merging_is_adding(self, some, others):
        both = zip(histogram(some), histogram(others), strict=True)
        assert [one + other for one, other in both] == histogram(some + others)
        assert since(histogram(some), histogram(some + others)) == histogram(others)

    def test_none_at_all(self):
        assert quantile(EMPTY, 0.5) is None
        assert upper_bound(EMPTY, 0.5) == 0
        assert advised(EMPTY) == [0] * len(ADVISED)

    def test_a_count_that_went_back_is_none(self):
        assert since([5] * SIZE, [3] * SIZE) == EMPTY

    @given(st.lists(st.one_of(TIMES, st.sampled_from(ADVISED))))
    def test_those_of_opentelemetry_are_exact(self, times):
        assert advised(histogram(times)) == [sum(time <= bound for time in times) for bound in ADVISED]

    @given(st.lists(IN_RANGE, min_size=1), st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
    def test_quantiles_are_right_within_five_per_cent(self, times, share):
        exact = sorted(times)[max(1, ceil(share * len(times))) - 1] / 1e9
        told = quantile(histogram(times), share)
        assert told == pytest.approx(exact, rel=0.05)
        assert exact <= upper_bound(histogram(times), share) * (1 + 1e-9) <= exact * 1.1

    def test_what_is_out_of_range_is_told_as_its_end(self):
        assert quantile(histogram([0, 5]), 0.99) == QUICK / 1e9
        assert quantile(histogram([10**15]), 0.5) == upper_bound(histogram([10**15]), 0.5) == BOUNDS[-1] / 1e9
