from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.supervisor.policy.backoff import RestartWindow
from bigtop.supervisor.policy.spec import RestartPolicy


def waits(policy: RestartPolicy, lives: list[float]) -> list[float]:
    window = RestartWindow(policy)
    return [window.death(lived) for lived in lives]


def test_the_first_deaths_are_answered_at_once_then_each_waits_longer():
    policy = RestartPolicy(attempts=2, window=60, retry_in=1, factor=2, max_delay=10)
    assert waits(policy, [0.5] * 8) == [0, 0, 1, 2, 4, 8, 10, 10]


def test_without_attempts_the_first_death_waits():
    assert waits(RestartPolicy(attempts=0, retry_in=1), [0, 0]) == [1, 2]


def test_max_delay_limits_the_first_wait_too():
    assert waits(RestartPolicy(attempts=0, retry_in=5, max_delay=3), [0, 0]) == [3, 3]


def test_a_long_life_starts_the_count_anew():
    policy = RestartPolicy(attempts=1, window=60, retry_in=1)
    assert waits(policy, [1, 1, 1, 60.1, 1, 1]) == [0, 1, 2, 0, 1, 2]


def test_a_long_life_starts_the_waits_anew_where_every_death_waits():
    assert waits(RestartPolicy(attempts=0, window=60, retry_in=1), [1, 1, 61]) == [1, 2, 1]


def test_a_life_as_long_as_the_window_is_not_longer_than_it():
    assert waits(RestartPolicy(attempts=1, window=60, retry_in=1), [1, 60, 60]) == [0, 1, 2]


def test_only_deaths_within_the_window_count():
    # Never three within 60 seconds, so never more than the two attempts.
    assert waits(RestartPolicy(attempts=2, window=60), [40] * 6) == [0] * 6


def test_the_window_slides():
    policy = RestartPolicy(attempts=2, window=60, retry_in=1)
    assert waits(policy, [40, 40, 10, 40, 40]) == [0, 0, 1, 2, 0]


def test_a_wait_longer_than_the_window_is_not_taken_for_a_life():
    policy = RestartPolicy(attempts=1, window=1, retry_in=100, max_delay=1000)
    assert waits(policy, [0.1] * 5) == [0, 100, 200, 400, 800]


def test_after_max_retry_waits_in_a_row_the_slot_gives_up():
    policy = RestartPolicy(attempts=1, retry_in=1, max_retry=2)
    assert waits(policy, [0] * 5) == [0, 1, 2, inf, inf]


def test_with_max_retry_zero_it_gives_up_instead_of_waiting():
    assert waits(RestartPolicy(attempts=1, max_retry=0), [0, 0]) == [0, inf]


def test_a_death_answered_at_once_ends_the_row():
    policy = RestartPolicy(attempts=1, window=10, retry_in=1, max_retry=1)
    assert waits(policy, [0, 0, 11, 0, 0]) == [0, 1, 0, 1, inf]


def test_a_night_of_crashes_does_not_overflow():
    policy = RestartPolicy(attempts=0, retry_in=1, factor=10, max_delay=30)
    assert waits(policy, [0] * 3000)[-1] == 30


def test_deaths_are_counted_since_the_last_long_life():
    window = RestartWindow(RestartPolicy(window=60))
    counts = []
    for lived in (1, 1, 1, 61, 1):
        window.death(lived)
        counts.append(window.deaths)
    assert counts == [1, 2, 3, 1, 2]


policies = st.builds(
    RestartPolicy,
    attempts=st.integers(0, 5),
    window=st.floats(0, 100),
    retry_in=st.floats(0, 10),
    factor=st.floats(1, 10),
    max_delay=st.floats(0, 60),
    max_retry=st.integers(-1, 5),
)


@given(policies, st.lists(st.floats(0, 200), max_size=50))
def test_a_wait_is_within_its_limits_and_giving_up_is_asked_for(policy: RestartPolicy, lives: list[float]):
    for wait in waits(policy, lives):
        assert 0 <= wait <= policy.max_delay or (wait == inf and policy.max_retry >= 0)


@given(policies, st.lists(st.floats(0, 200), max_size=50))
def test_never_more_than_attempts_at_once_within_a_window(policy: RestartPolicy, lives: list[float]):
    if policy.retry_in and policy.max_delay:  # else every wait is zero
        clock, at_once = 0.0, []
        for lived, wait in zip(lives, waits(policy, lives), strict=True):
            clock += lived
            if wait == 0:
                at_once.append(clock)
                assert sum(clock - death <= policy.window for death in at_once) <= policy.attempts


@pytest.mark.parametrize("attempts", [1, 3])
def test_it_remembers_no_more_than_it_needs(attempts: int):
    window = RestartWindow(RestartPolicy(attempts=attempts))
    for _ in range(1000):
        window.death(0)
    assert len(window._recent) == attempts + 1
