# Histograms of times: bounds, the bucket of a time, sums, differences, quantiles.
#
# A histogram is a list of SIZE counts. Bucket i counts times above BOUNDS[i - 1] and up to BOUNDS[i]; the
# last one all longer ones. The bounds are those of an exponential histogram of schema 3 (OpenTelemetry,
# Prometheus: each 2 ** (1/8), 9 %, above the one before), from 94 µs to 108 s, and between them those that
# OpenTelemetry recommends for requests. So one count per request serves both: a reader that wants the ones
# adds up what the others divide, and nothing is estimated.
#
# Rule: pure, and whoever writes pays for one look-up. Times are whole nanoseconds, and so are bounds, rounded
# down, which changes nothing.

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import ceil
from typing import Final

Histogram = list[int]

SCHEMA: Final = 3
GROWTH: Final = 2 ** (1 / 2**SCHEMA)
_LOWEST: Final = -107  # times the logarithm of GROWTH: 94 µs
_HIGHEST: Final = 54  # 108 s
_EXPONENTIAL: Final = [int(2 ** (power / 8) * 1e9) for power in range(_LOWEST, _HIGHEST + 1)]
_MS: Final = 1_000_000
# https://opentelemetry.io/docs/specs/semconv/http/http-metrics/, "http.server.request.duration"
ADVISED: Final = tuple(
    milliseconds * _MS
    for milliseconds in (5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000)
)
BOUNDS: Final[list[int]] = sorted({*_EXPONENTIAL, *ADVISED})
SIZE: Final = len(BOUNDS) + 1

# What a writer needs: `bucket = NEAR[time >> SHIFT]`, one more if the time is above BOUNDS[bucket]. Up to
# FAR, so no two bounds are in one step; longer ones can afford a search.
SHIFT: Final = 12
FAR: Final = 4096 << SHIFT  # 16.8 ms
NEAR: Final[list[int]] = []
for _number, _bound in enumerate(BOUNDS):
    NEAR.extend([_number] * (min(_bound >> SHIFT, (FAR >> SHIFT) - 1) + 1 - len(NEAR)))
QUICK: Final[int] = BOUNDS[0]  # times up to this are in the first bucket


def bucket_of(time: int) -> int:
    """Return the bucket of so many nanoseconds. Writers do the same in place."""
    if time >= FAR:
        return bisect_left(BOUNDS, time)
    bucket = NEAR[time >> SHIFT]
    return bucket + 1 if time > BOUNDS[bucket] else bucket


def since(before: Sequence[int], now: Sequence[int]) -> Histogram:
    """Return the histogram of the times between two states of one. A count that went back counts as none."""
    return [max(0, late - early) for early, late in zip(before, now, strict=True)]


def advised(histogram: Sequence[int]) -> list[int]:
    """Return how many times were up to each of ADVISED, exactly."""
    upto = list(accumulate(histogram))
    return [upto[bisect_left(BOUNDS, bound)] for bound in ADVISED]


def exponential(histogram: Sequence[int]) -> tuple[int, list[int]]:
    """Return a histogram of schema 3 alone: the power of GROWTH up to which its first bucket counts, and the
    counts of this and of the buckets up to each next power. Longer times are in the last one."""
    upto = list(accumulate(histogram))
    marks = [upto[bisect_left(BOUNDS, bound)] for bound in _EXPONENTIAL] + [upto[-1]]
    return _LOWEST, [marks[0], *(late - early for early, late in pairwise(marks))]


def upper_bound(histogram: Sequence[int], share: float) -> float:
    """Return the bound in seconds which that share (0 to 1) of all times do not exceed, 0 where there are
    none. It is 9 % too high at most, where it is between 94 µs and 108 s; longer ones are told as 108 s."""
    bucket = _bucket(histogram, share)
    return BOUNDS[min(bucket, len(BOUNDS) - 1)] / 1e9 if bucket >= 0 else 0.0


def quantile(histogram: Sequence[int], share: float) -> float | None:
    """Return the time in seconds which that share (0 to 1) of all do not exceed, None where there are none.

    It is wrong by 4.4 % at most where it is between 94 µs and 108 s. What is shorter may be anything up to
    94 µs, what is longer is told as 108 s.
    """
    bucket = _bucket(histogram, share)
    return middle(bucket) if bucket >= 0 else None


def middle(bucket: int) -> float:
    """Return the time in seconds that stands for all of a bucket: as far from one bound as from the other."""
    if 0 < bucket < len(BOUNDS):
        return float((BOUNDS[bucket - 1] * BOUNDS[bucket]) ** 0.5 / 1e9)
    return BOUNDS[min(bucket, len(BOUNDS) - 1)] / 1e9


def _bucket(histogram: Sequence[int], share: float) -> int:
    """Return the bucket of a quantile, -1 where there is none."""
    upto = list(accumulate(histogram))
    return bisect_left(upto, max(1, ceil(share * upto[-1]))) if upto[-1] > 0 else -1
