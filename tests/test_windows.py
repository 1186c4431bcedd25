"""What came to be in the last second, ten seconds, minute."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.ipc import histogram
from bigtop.ipc.counters import LATENCIES, NONE, WAITS, Count
from bigtop.stats.windows import USUAL, Looks, Times


def counted(requests, *times):
    counts = list(NONE)
    counts[Count.REQUESTS] = requests
    for time in times:
        for part in (LATENCIES, WAITS):
            counts[part.start + histogram.bucket_of(time)] += 1
    return counts


def test_before_the_second_look_there_is_none():
    looks = Looks()
    assert looks.window(1) is None
    looks.add(5, counted(3))
    assert looks.window(1) is None


def test_what_is_new_per_second():
    looks = Looks()
    for second in range(100):
        looks.add(second, counted(second * second))
    for seconds in USUAL:
        window = looks.window(seconds)
        assert window.seconds == seconds
        assert window.rate(Count.REQUESTS) == (99**2 - (99 - seconds) ** 2) / seconds


def test_a_window_is_as_long_as_what_is_known():
    looks = Looks()
    looks.add(10, counted(0))
    looks.add(12.5, counted(10))
    window = looks.window(60)
    assert (window.seconds, window.rate(Count.REQUESTS)) == (2.5, 4)


def test_times():
    looks = Looks()
    looks.add(0, counted(0, *[10**10] * 50))  # of before
    looks.add(1, counted(100, *[10**10] * 50, *[10**7] * 95, *[10**9] * 5))
    for times in (looks.window(1).latency, looks.window(1).queue):
        assert (times.p50, times.p90) == (pytest.approx(0.01, rel=0.05), pytest.approx(0.01, rel=0.05))
        assert times.p99 == pytest.approx(1, rel=0.05)
        assert 1 <= times.longest < 1.1


def test_of_no_requests_there_are_no_times():
    looks = Looks()
    for second in (0, 1):
        looks.add(second, counted(0))
    assert looks.window(1).latency == Times(None, None, None, None)


@given(st.lists(st.floats(0.01, 5), min_size=2, max_size=200), st.sampled_from(USUAL))
def test_only_what_is_needed_is_kept(pauses, seconds):
    looks, at = Looks(), 0.0
    for number, pause in enumerate(pauses):
        at += pause
        looks.add(at, counted(number))
    window = looks.window(seconds)
    oldest = looks._looks[0][0]
    assert window.seconds >= seconds or at - oldest < seconds
    assert len([when for when, _ in looks._looks if when <= at - USUAL[-1]]) <= 1 or len(looks._looks) == 2
