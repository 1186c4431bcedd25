"""What came to be in the last second, ten seconds, minute."""

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.ipc import histogram
from bigtop.ipc.counters import LATENCIES, NONE, WAITS, Count
from bigtop.stats.figures import AppFigures
from bigtop.stats.windows import USUAL, Looks, Occupancy, Windows


def counted(requests, *times):
    counts = list(NONE)
    counts[Count.REQUESTS] = requests
    counts[Count.QUEUE_NS] = sum(times)
    for time in times:
        for part in (LATENCIES, WAITS):
            counts[part.start + histogram.bucket_of(time)] += 1
    return counts


def test_before_the_second_look_there_is_none():
    looks = Looks()
    assert looks.window(1) is None
    looks.add(5, counted(3))
    assert looks.window(1) is None
    looks.add(5, counted(4))  # a clock that stands
    assert looks.window(1) is None


def test_what_is_new_per_second():
    looks = Looks()
    for second in range(100):
        looks.add(second, counted(second * second))
    for seconds in USUAL:
        window = looks.window(seconds)
        assert window.seconds == seconds
        assert window.rate(Count.REQUESTS) == (99**2 - (99 - seconds) ** 2) / seconds


def test_looks_that_come_a_little_early_or_late_make_no_window_longer():
    looks = Looks()
    for second in range(100):
        looks.add(second + 0.01 * (second % 3), counted(second))
    for seconds in USUAL:
        assert looks.window(seconds).seconds == pytest.approx(seconds, abs=0.03)


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
        exact = {"p50": 0.01, "p90": 0.01, "p99": 1, "max": 1}
        assert times == {name: pytest.approx(time, rel=0.05) for name, time in exact.items()}


@given(st.lists(st.integers(100_000, 100 * 10**9), min_size=1, max_size=300))
def test_times_are_the_exact_ones_up_to_five_per_cent(times):
    looks = Looks()
    looks.add(0, counted(0))
    looks.add(1, counted(len(times), *times))
    told = looks.window(1).latency
    times.sort()
    for name, share in {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1}.items():
        exact = times[max(1, ceil(share * len(times))) - 1] / 1e9
        assert told[name] == pytest.approx(exact, rel=0.05)


def test_of_no_requests_there_are_no_times():
    looks = Looks()
    for second in (0, 1):
        looks.add(second, counted(3, 10**7))
    assert looks.window(1).latency is None
    assert looks.window(1).queue is None


def test_where_nobody_measures_the_queue_it_has_no_times():
    looks, later = Looks(), counted(1, 10**7)
    later[Count.QUEUE_NS] = 0
    looks.add(0, counted(0))
    looks.add(1, later)
    assert looks.window(1).latency is not None
    assert looks.window(1).queue is None


@given(st.lists(st.floats(0, 5), min_size=2, max_size=200), st.sampled_from(USUAL))
def test_only_what_is_needed_is_kept(pauses, seconds):
    looks, at = Looks(), 0.0
    begun = [at]
    looks.add(at, counted(0))
    for number, pause in enumerate(pauses, 1):
        at += pause
        begun.append(at)
        looks.add(at, counted(number))
    window = looks.window(seconds)
    if at > begun[0] and window is not None:
        # As near to what is wanted as the looks were, up to those that came too fast to be kept.
        nearest = min(abs(at - seconds - then) for then in begun[:-1])
        assert abs(window.seconds - seconds) <= nearest + 0.5
    assert len(looks._looks) <= 2 * USUAL[-1] / 0.5 + 2
    assert len([when for when, _ in looks._looks if when <= at - USUAL[-1]]) <= 1 or len(looks._looks) == 2


def test_of_each_application_its_own_is_told_and_of_who_is_gone_nothing():
    def figures(requests):
        return AppFigures(counted(requests, *[10**7] * requests), workers=1, busy=0, waiting=0)

    windows = Windows()
    assert windows.of("shop") == {}
    windows.add(0, {"shop": figures(0), "blog": figures(5)})
    windows.add(2, {"shop": figures(3), "blog": figures(5)})
    times = pytest.approx(dict.fromkeys(("p50", "p90", "p99", "max"), 0.01), rel=0.05)
    told = {"seconds": 2.0, "requests_per_second": 1.5, "errors_per_second": 0.0, "latency": times}
    assert windows.of("shop") == {key: {**told, "queue": times} for key in ("1", "10", "60")}
    assert windows.of("blog")["1"]["latency"] is None
    windows.add(3, {"blog": figures(5)})
    windows.add(4, {"shop": figures(3), "blog": figures(5)})
    assert windows.of("shop") == {}


def test_the_last_second_in_a_row():
    windows = Windows()

    def look(at, counters):
        windows.add(at, {"web": AppFigures(counters, 1, 0, 0)})
        return windows.last_second("web")

    assert windows.last_second("other") == (None,) * 5
    assert look(0, counted(0)) == (None,) * 5
    told = look(1, counted(10, *[10**7] * 9, 10**9))
    window = windows.of("web")["1"]
    times = window["latency"]["p50"], window["latency"]["p99"], window["queue"]["p99"]
    assert told == (10.0, 0.0, *times)
    assert look(2, counted(10, *[10**7] * 9, 10**9)) == (0.0, 0.0, None, None, None)
    unmeasured = counted(12, *[10**7] * 9, 10**9)
    unmeasured[LATENCIES.start + histogram.bucket_of(10**7)] += 2
    rate, _, p50, _, queue = look(3, unmeasured)
    assert (rate, p50 is not None, queue) == (2.0, True, None)


def taken(seconds, running=0.0, workers=2, busy=0):
    counts = list(NONE)
    counts[Count.CALL_NS] = int(seconds * 1e9)
    return AppFigures(counts, workers, busy, 0, elapsed=int(running * 1e9))


def test_the_first_look_tells_the_share_of_the_moment():
    occupancy = Occupancy()
    occupancy.add(5, {"shop": taken(100, busy=3)})
    assert occupancy.share("shop", taken(100, busy=3), 2) == 0.75
    assert occupancy.share("nobody", taken(0, workers=0), 2) == 0


def test_the_share_is_that_of_the_time_since_the_scrape_before():
    occupancy = Occupancy()
    for second in range(0, 91, 15):
        occupancy.add(second, {"shop": taken(second * 0.8)})
    assert occupancy.share("shop", taken(0), 2) == pytest.approx(0.2)
    assert occupancy.share("shop", taken(0), 1) == pytest.approx(0.4)


def test_the_share_is_that_of_ten_seconds_where_somebody_looks_more_often():
    occupancy = Occupancy()
    for second in range(100):
        occupancy.add(second, {"shop": taken(max(0, second - 94) * 2)})
    assert occupancy.share("shop", taken(0), 1) == pytest.approx(0.5)


def test_calls_that_still_run_count():
    occupancy = Occupancy()
    for second in range(30):
        occupancy.add(second, {"shop": taken(0, running=second)})
    assert occupancy.share("shop", taken(0), 1) == pytest.approx(0.5)
    occupancy.add(30, {"shop": taken(30)})  # it is over, and counted now
    assert occupancy.share("shop", taken(0), 1) == pytest.approx(0.5)


def test_what_a_worker_took_along_is_no_share_below_nothing():
    occupancy = Occupancy()
    occupancy.add(1, {"shop": taken(5, running=100)})
    occupancy.add(11, {"shop": taken(5)})
    assert occupancy.share("shop", taken(5), 1) == 0
    occupancy.add(11, {"shop": taken(6)})  # a clock that stands
    assert occupancy.share("shop", taken(5), 1) >= 0
    occupancy.add(12, {})
    assert occupancy.share("shop", taken(5, busy=1), 1) == 0.5
