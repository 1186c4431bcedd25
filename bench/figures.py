# From many numbers to few: percentiles of a histogram, medians with their spread, ratios.
#
# Rule: pure. A histogram is a list of (microseconds, count), sorted, as the load generator prints it.

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

Histogram = Sequence[tuple[float, int]]


@dataclass(frozen=True, slots=True)
class Spread:
    median: float
    low: float
    high: float


def spread(values: Iterable[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    return Spread(median(known), min(known), max(known)) if known else None


def merge(histograms: Iterable[Histogram]) -> Histogram:
    total: Counter[float] = Counter()
    for histogram in histograms:
        for value, count in histogram:
            total[value] += count
    return sorted(total.items())


def percentile(histogram: Histogram, share: float) -> float | None:
    """Return the smallest value that at least `share` (0 to 1) of the samples do not exceed."""
    total = sum(count for _, count in histogram)
    seen = 0
    for value, count in histogram:
        seen += count
        if seen >= share * total:
            return value
    return None


def ratio(value: Spread | None, base: Spread | None) -> float | None:
    return value.median / base.median if value and base and base.median else None


def imbalance(counts: Sequence[int]) -> float:
    """Return max/min of requests per worker. A worker without any counts as one: the figure stays finite."""
    return max(counts) / max(min(counts), 1)
