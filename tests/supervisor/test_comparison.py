# A canary against the old workers, in numbers.

from __future__ import annotations

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.ipc import histogram
from bigtop.supervisor.policy.deploys import comparison
from bigtop.supervisor.policy.deploys.comparison import Counters, Thresholds

ALLOWED = Thresholds(errors=0.01, latency=2.0, requests=20)


def counted(*seconds: float, errors: int = 0, running: tuple[float, ...] = ()) -> Counters:
    latencies = [0] * histogram.SIZE
    for one in seconds:
        latencies[histogram.bucket_of(int(one * 1e9))] += 1
    return Counters(len(seconds), errors, latencies, running)


USUAL = counted(*[0.01] * 90, *[0.1] * 10)


@pytest.mark.parametrize(
    ("requests", "wrong", "is_told"),
    [
        (19, 19, False),  # too few
        (20, 1, False),  # by chance
        (20, 2, True),
        (100, 3, False),
        (100, 4, True),
        (1000, 16, False),
        (1000, 17, True),
    ],
)
def test_errors_where_the_old_ones_have_none(requests: int, wrong: int, is_told: bool) -> None:
    new = counted(*[0.01] * requests, errors=wrong)
    told = comparison.errors(USUAL, new, ALLOWED)
    assert bool(told) == is_told
    assert comparison.errors(Counters(), new, ALLOWED) or not is_told, "there is nothing to compare it with"
    if told:
        share = f"{wrong / requests:.1%}"
        assert (
            told == f"{wrong} of its {requests} answers were 5xx ({share}), of the old ones 0 of 100 (0.0%)"
        )


def test_errors_that_the_old_ones_have_as_well_are_no_reason() -> None:
    old = counted(*[0.01] * 100, errors=30)
    assert not comparison.errors(old, counted(*[0.01] * 100, errors=35), ALLOWED)
    assert comparison.errors(old, counted(*[0.01] * 100, errors=60), ALLOWED)
    assert not comparison.errors(counted(0.1, errors=1), counted(*[0.1] * 30, errors=30), ALLOWED)


@given(st.integers(1, 10_000), st.data())
def test_more_errors_are_never_less_of_a_reason(requests: int, data: st.DataObject) -> None:
    wrong = data.draw(st.integers(0, requests))
    new = Counters(requests, wrong)
    if comparison.errors(USUAL, new, ALLOWED) and wrong < requests:
        assert comparison.errors(USUAL, Counters(requests, wrong + 1), ALLOWED)
    if wrong <= 0.01 * requests + 2 * sqrt(0.01 * requests):
        assert not comparison.errors(USUAL, new, ALLOWED)


@pytest.mark.parametrize(
    ("new", "told"),
    [
        (counted(*[0.01] * 30), ""),
        (counted(*[0.019] * 30), ""),
        (counted(*[0.01] * 27, *[5.0] * 3), ""),  # nine of ten are as quick
        (counted(*[0.05] * 30), "nine of ten of its answers took up to"),
        (counted(*[0.01] * 26, *[5.0] * 4), "nine of ten of its answers took up to"),
        (counted(*[0.01] * 30, running=(3.0,) * 9), "nine of ten of its answers took up to"),
        (counted(), ""),
        (counted(0.5), ""),  # the first one always takes its time
        (counted(0.5, 0.01), ""),
        (counted(0.5, 0.5), "its quickest answer took"),
        (counted(running=(3.0, 3.0)), "its quickest answer took"),
        (counted(0.5, 0.5, running=(0.001,)), "its quickest answer took"),  # nobody knows of the third
        (counted(0.5, running=(0.001,)), ""),
        (counted(0.5, running=(3.0,)), "its quickest answer took"),
        (counted(0.1, 0.1), ""),
    ],
)
def test_times(new: Counters, told: str) -> None:
    assert comparison.times(USUAL, new, ALLOWED).startswith(told or "\n") == bool(told)
    assert bool(comparison.times(USUAL, new, ALLOWED)) == bool(told)
    assert not comparison.times(counted(*[0.0001] * 19), new, ALLOWED), "there is nothing to compare it with"


def test_times_that_are_no_difference() -> None:
    quick = counted(*[0.0002] * 100)
    assert not comparison.times(quick, counted(*[0.009] * 100), ALLOWED)
    assert comparison.times(quick, counted(*[0.02] * 100), ALLOWED)


def test_what_is_counted_since() -> None:
    before, now = counted(0.01, 0.02), counted(0.01, 0.02, 0.3, errors=1, running=(1.0,))
    assert now.since(before) == counted(0.3, errors=1, running=(1.0,))
    assert before.since(now) == counted()
    assert comparison.total([counted(0.01), counted(0.3, errors=1)]) == counted(0.01, 0.3, errors=1)
    assert comparison.total([]) == Counters()


def test_what_is_told_when_all_is_well() -> None:
    told = comparison.summary(USUAL, counted(*[0.01] * 30), ALLOWED)
    assert told.startswith("30 requests, 0.0% 5xx, nine of ten within 10 ms")
    assert "; the old ones 100 requests, 0.0%, 10 ms" in told
    assert comparison.summary(USUAL, counted(0.1), ALLOWED) == "1 request, too few to compare"
    assert comparison.summary(counted(), counted(*[0.01] * 30), ALLOWED).endswith(
        "; the old ones had too few to compare"
    )
