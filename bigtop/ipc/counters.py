# Counters of workers: what can be added up of their slots, and how that is done so that no sum goes back.
#
# A worker may have been taken over, and what it wrote into its slot may be anything. Rule 1: what it says is
# taken for no more than a worker of its age can have done; what is more is nonsense and counts for nothing.
# So no counter can be driven to where it wraps or where a float has no room for ones. Rule 2: what one of
# them takes back stays counted, and costs the others nothing. Rule 3: pure; time is an argument.

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from enum import IntEnum
from operator import add, lt, sub
from types import MappingProxyType
from typing import Final

from bigtop.ipc import histogram, route_counts
from bigtop.ipc.scoreboard import LISTENERS, View, Word


class Count(IntEnum):
    """Where a counter stands in Counters. Times are nanoseconds."""

    REQUESTS = 0
    STATUS_1XX = 1
    STATUS_2XX = 2
    STATUS_3XX = 3
    STATUS_4XX = 4
    STATUS_5XX = 5
    ACCEPTED = 6  # connections, those included that were taken over
    HANDED_OFF = 7
    INTERRUPTED = 8  # of the requests: past their time limit
    BYTES_IN = 9
    BYTES_OUT = 10
    LATENCY_NS = 11
    CALL_NS = 12
    QUEUE_NS = 13


# All counters in a row: those of Count, connections accepted at each listener (Word.ACCEPTED_AT), the
# histogram of latencies, that of queue times.
Counters = list[int]

ACCEPTED_AT: Final = slice(len(Count), len(Count) + LISTENERS)
LATENCIES: Final = slice(ACCEPTED_AT.stop, ACCEPTED_AT.stop + histogram.SIZE)
WAITS: Final = slice(LATENCIES.stop, LATENCIES.stop + histogram.SIZE)
LENGTH: Final = WAITS.stop
# What is counted by route pattern; the rest is 0 there.
ROUTED: Final = (
    *range(Count.STATUS_5XX + 1),
    Count.LATENCY_NS,
    Count.CALL_NS,
    *range(LATENCIES.start, LATENCIES.stop),
)
NONE: Final[tuple[int, ...]] = (0,) * LENGTH

# What no worker exceeds, by second of its life. Of times: it may answer many requests at once.
_COUNTS_A_SECOND: Final = 10**6
_BYTES_A_SECOND: Final = 10**11
_NS_A_SECOND: Final = 10**5 * 10**9
_SECOND: Final = 10**9
_LIMITS: Final = (
    (slice(0, Count.BYTES_IN), _COUNTS_A_SECOND),
    (slice(Count.BYTES_IN, Count.LATENCY_NS), _BYTES_A_SECOND),
    (slice(Count.LATENCY_NS, len(Count)), _NS_A_SECOND),
    (slice(len(Count), LENGTH), _COUNTS_A_SECOND),
)


def read(view: View) -> Counters:
    """Return what a slot says."""
    words = view.words.tolist()  # before what is written before them
    classes = [view.words[word] for word in (Word.STATUS_1XX, Word.STATUS_3XX, Word.STATUS_4XX, Word.ERRORS)]
    requests, latency_ns = words[Word.REQUESTS], words[Word.LATENCY_NS]
    return [
        requests,
        classes[0],
        max(0, requests - sum(classes)),
        *classes[1:],
        words[Word.ACCEPTED],
        words[Word.HANDED_OFF],
        words[Word.INTERRUPTED],
        words[Word.BYTES_IN],
        words[Word.BYTES_OUT],
        latency_ns,
        words[Word.CALL_NS] or latency_ns,
        words[Word.QUEUE_NS],
        *words[Word.ACCEPTED_AT : Word.ACCEPTED_AT + LISTENERS],
        *view.latencies(),
        *view.waits(),
    ]


def of_routes(view: View, before: Mapping[str, Counters] = MappingProxyType({})) -> dict[str, Counters]:
    """Return what a slot says by route pattern: counters of which most are 0. Those `before`, of the same
    slot, are taken again where nothing came."""
    found: dict[str, Counters] = {}
    for row in view.routes.rows() if view.routed[0] else ():
        known = before.get(row.pattern)
        if known is not None and row.pattern not in found and known[Count.REQUESTS] == row.requests:
            found[row.pattern] = known
            continue
        words = row.read()
        requests, one, three, four, five, took = words[: route_counts.LATENCY_NS + 1]
        counts = list(NONE)
        counts[: Count.STATUS_5XX + 1] = (
            requests, one, max(0, requests - one - three - four - five), three, four, five
        )  # fmt: skip
        counts[Count.LATENCY_NS] = counts[Count.CALL_NS] = took
        counts[LATENCIES] = words[route_counts.WORDS :]
        found[row.pattern] = added(found[row.pattern], counts) if row.pattern in found else counts
    return found


def plausible(counters: Sequence[int], age_ns: int, before: Sequence[int] = NONE) -> Counters:
    """Return what a worker of that age can have counted: what is more, or less than `before`, is that."""
    age = age_ns + _SECOND  # it may have been born a little before it was put down
    for part, a_second in _LIMITS:
        most = a_second * age // _SECOND
        if max(counters[part]) > most:
            counters = list(counters)
            counters[part] = [
                count if count <= most else early
                for count, early in zip(counters[part], before[part], strict=True)
            ]
    if any(map(lt, counters, before)):
        return list(map(max, counters, before))
    return list(counters)


def added(one: Sequence[int], other: Sequence[int]) -> Counters:
    return list(map(add, one, other))


class Sums:
    """The counters of one application so far, its dead workers included, as who looks again and again sees
    them. `total` only grows."""

    def __init__(self) -> None:
        self.total: Counters = list(NONE)
        self._retired: Sequence[int] = NONE
        self._workers: dict[int, Counters] = {}  # by key: what was believed
        self._said: dict[int, Sequence[int]] = {}  # and what they said

    def take(self, retired: Sequence[int], workers: Mapping[int, tuple[Sequence[int], int]]) -> None:
        """Take in what those that are gone have counted, and, by key, what each of the others has, with its
        age in nanoseconds."""
        # What retired has more than before came from those that are gone since: we have counted some of it.
        gone = [counters for key, counters in self._workers.items() if key not in workers]
        if gone or retired != self._retired:
            growth = list(map(sub, retired, self._retired))
            for counters in gone:
                growth = list(map(sub, growth, counters))
            self._grow(growth)
            self._retired = retired
        self._workers = {key: self._hear(key, *workers[key]) for key in workers}
        self._said = {key: said for key, (said, _) in workers.items()}

    def _hear(self, key: int, said: Sequence[int], age_ns: int) -> Counters:
        before = self._workers.get(key)
        if before is not None and said == self._said[key]:
            return before
        counters = plausible(said, age_ns, before or NONE)
        self._grow(list(map(sub, counters, before or NONE)))
        return counters

    def _grow(self, growth: Counters) -> None:
        if min(growth) < 0:
            growth = [max(0, each) for each in growth]
        self.total = added(self.total, growth)


class RouteSums:
    """The same by route pattern, for at most route_counts.MOST of them: what comes later is counted as
    OTHER."""

    def __init__(self) -> None:
        self._sums: dict[str, Sums] = {}
        self._said: dict[int, dict[str, Counters]] = {}

    @property
    def totals(self) -> dict[str, Counters]:
        return {pattern: sums.total for pattern, sums in self._sums.items()}

    def take(self, retired: Mapping[str, Counters], workers: Mapping[int, tuple[View, int]]) -> None:
        """Take in what those that are gone have counted, and the slots of the others, by key, each with its
        age in nanoseconds."""
        self._said = {key: of_routes(view, self._said.get(key, {})) for key, (view, _) in workers.items()}
        if not (retired or self._sums or any(self._said.values())):
            return
        gone = self._folded(retired)
        there = {key: self._folded(said) for key, said in self._said.items()}
        for pattern, sums in self._sums.items():
            sums.take(
                gone.get(pattern, NONE),
                {key: (said[pattern], workers[key][1]) for key, said in there.items() if pattern in said},
            )

    def _folded(self, said: Mapping[str, Counters]) -> Mapping[str, Counters]:
        for pattern in said:
            if pattern not in self._sums and len(self._sums) < route_counts.MOST - 1:
                self._sums[pattern] = Sums()
        if said.keys() <= self._sums.keys():
            return said
        self._sums.setdefault(route_counts.OTHER, Sums())
        return folded(said, self._sums.keys())


def folded(said: Mapping[str, Counters], patterns: Set[str]) -> dict[str, Counters]:
    """Return what is said of these patterns, and of all others as OTHER."""
    found: dict[str, Counters] = {}
    for pattern, counts in said.items():
        name = pattern if pattern in patterns else route_counts.OTHER
        found[name] = added(found[name], counts) if name in found else counts
    return found
