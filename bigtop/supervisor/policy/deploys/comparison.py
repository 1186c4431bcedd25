# Comparison of a canary with the old processes of the same minutes.
#
# Rules: pure. Errors are more than chance explains where they exceed what is allowed by two standard
# deviations. Times are compared where nine of ten requests are done, because the first requests of a new
# process are slow. A canary that is so slow that it has answered next to nothing is slow: there, even its
# quickest request counts.

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt

from bigtop.ipc import histogram
from bigtop.ipc.histogram import Histogram
from bigtop.record import Record, field

SHARE = 0.9  # of the requests, by the time of which processes are compared
SLACK = 0.01  # seconds that are no difference
LONG = 0.1  # seconds by which the quickest of few requests has to be slower
FEW = 2


class Counters(Record):
    """What one process has counted by now. `running` are the ages of its requests in progress, in seconds."""

    requests: int = 0
    errors: int = 0  # answered with a 5xx
    latencies: Histogram = field(default_factory=lambda: [0] * histogram.SIZE)
    running: tuple[float, ...] = ()

    def since(self, before: Counters) -> Counters:
        return Counters(
            max(0, self.requests - before.requests),
            max(0, self.errors - before.errors),
            histogram.since(before.latencies, self.latencies),
            self.running,
        )


def total(several: Iterable[Counters]) -> Counters:
    requests = errors = 0
    latencies = [0] * histogram.SIZE
    for one in several:
        requests += one.requests
        errors += one.errors
        latencies = [a + b for a, b in zip(latencies, one.latencies, strict=True)]
    return Counters(requests, errors, latencies)


class Thresholds(Record):
    """How much worse a canary may be: its share of 5xx by `errors` (0.01 is one in a hundred), its times by
    the factor `latency`. Less than `requests` prove nothing."""

    errors: float = 0.01
    latency: float = 2.0
    requests: int = 20


def errors(old: Counters, new: Counters, allowed: Thresholds) -> str:
    """Return why the canary answers with too many 5xx, "" if it does not."""
    if new.requests < allowed.requests:
        return ""
    share = old.errors / old.requests if old.requests else 0.0
    expected = new.requests * min(1.0, share + allowed.errors)
    if new.errors <= expected + 2 * sqrt(expected):
        return ""
    return (
        f"{new.errors} of its {new.requests} answers were 5xx ({new.errors / new.requests:.1%}), "
        f"of the old ones {old.errors} of {old.requests} ({share:.1%})"
    )


def times(old: Counters, new: Counters, allowed: Thresholds) -> str:
    """Return why the canary is too slow, "" if it is not."""
    if old.requests < allowed.requests:
        return ""
    usual = histogram.upper_bound(old.latencies, SHARE)
    if new.requests >= allowed.requests:
        found = histogram.upper_bound(_with_running(new), SHARE)
        if found <= usual * allowed.latency + SLACK:
            return ""
        return f"nine of ten of its answers took up to {_ms(found)}, those of the old ones {_ms(usual)}"
    limit = usual * allowed.latency + LONG
    few = _with_running(new, limit)  # how long one takes that has just begun, nobody knows
    if sum(few) < FEW:
        return ""
    quickest = histogram.upper_bound(few, 0.0)
    if quickest <= limit:
        return ""
    return (
        f"its quickest answer took {_ms(quickest)}, nine of ten of the old ones up to {_ms(usual)}; "
        f"it gave {new.requests} in all"
    )


def _with_running(new: Counters, age: float = 0.0) -> Histogram:
    """Return its times, with those so far of requests in progress that are older than `age`."""
    both = list(new.latencies)
    for one in new.running:
        if one > age:
            both[histogram.bucket_of(int(one * 1e9))] += 1
    return both


def summary(old: Counters, new: Counters, allowed: Thresholds) -> str:
    """Say what was compared, where nothing speaks against the canary."""
    if new.requests < allowed.requests:
        return f"{_count(new.requests)}, too few to compare"
    told = f"{_count(new.requests)}, {new.errors / new.requests:.1%} 5xx"
    told += f", nine of ten within {_ms(histogram.upper_bound(new.latencies, SHARE))}"
    if old.requests < allowed.requests:
        return f"{told}; the old ones had too few to compare"
    share = old.errors / old.requests
    usual = _ms(histogram.upper_bound(old.latencies, SHARE))
    return f"{told}; the old ones {_count(old.requests)}, {share:.1%}, {usual}"


def _count(requests: int) -> str:
    return f"{requests} request{'' if requests == 1 else 's'}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
