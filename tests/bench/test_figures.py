from hypothesis import given
from hypothesis import strategies as st

from bench.figures import Spread, imbalance, merge, percentile, ratio, spread


def test_percentiles_of_a_small_histogram() -> None:
    histogram = [(10.0, 90), (20.0, 9), (500.0, 1)]
    assert percentile(histogram, 0.5) == 10.0
    assert percentile(histogram, 0.9) == 10.0
    assert percentile(histogram, 0.91) == 20.0
    assert percentile(histogram, 0.99) == 20.0
    assert percentile(histogram, 1.0) == 500.0


def test_nothing_measured_has_no_figures() -> None:
    assert percentile([], 0.5) is None
    assert spread([]) is None
    assert spread([None, None]) is None
    assert ratio(None, Spread(1, 1, 1)) is None
    assert ratio(Spread(1, 1, 1), Spread(0, 0, 0)) is None


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_a_percentile_is_a_sample_that_enough_samples_do_not_exceed(samples: list[int], share: float) -> None:
    histogram = merge([[(float(sample), 1)] for sample in samples])
    value = percentile(histogram, share)
    assert value in samples
    assert sum(sample <= value for sample in samples) >= share * len(samples)
    assert sum(sample < value for sample in samples) < share * len(samples)


def test_histograms_merge_by_value_and_stay_sorted() -> None:
    assert merge([[(1.0, 2), (5.0, 1)], [(0.5, 1), (5.0, 3)]]) == [(0.5, 1), (1.0, 2), (5.0, 4)]


def test_spread_and_ratio_use_the_median() -> None:
    assert spread([3.0, None, 1.0, 8.0]) == Spread(3.0, 1.0, 8.0)
    assert ratio(Spread(3, 1, 8), Spread(2, 0, 9)) == 1.5


def test_imbalance_of_a_burst_stays_finite_with_an_idle_worker() -> None:
    assert imbalance([8, 8, 8, 8]) == 1
    assert imbalance([9, 8, 8, 7]) == 9 / 7
    assert imbalance([31, 1, 0, 0]) == 31
