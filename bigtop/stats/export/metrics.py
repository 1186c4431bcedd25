# Metrics: every figure that Bigtop exports, with its name, its meaning and what it costs.
#
# Rules: pure. Names are those of OpenTelemetry where it has one. Base units; no label whose values grow with
# traffic (no path, no client) or with time (no pid): a series per worker would never end. Of route patterns
# there are at most ipc/route_counts.MOST. What is not in this table is not exported, and
# docs/reference/metrics.md is made from it.

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final

from bigtop.ipc import cache_layout, histogram
from bigtop.ipc.cache_layout import Count as Cached
from bigtop.ipc.counters import LATENCIES, WAITS, Count
from bigtop.ipc.route_counts import MOST
from bigtop.record import Record
from bigtop.stats.figures import AppFigures
from bigtop.supervisor.policy.messages import Ending
from bigtop.supervisor.policy.tally import WatcherTally


class Kind(Enum):
    COUNTER = "counter"  # only grows
    GAUGE = "gauge"  # as it is now
    HISTOGRAM = "histogram"
    INFO = "info"  # always 1; what it says stands in its labels


class Metric(Record):
    """One metric. `name` is without what formats add to it: _total, _bucket, _sum, _count, _info."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str  # one sentence
    unit: str = ""  # the last word of the name, where there is one
    series: str = "1"  # how many there are, for each value of the first label


REQUEST_DURATION: Final = Metric(
    "http_server_request_duration_seconds",
    Kind.HISTOGRAM,
    ("app",),
    "Time from the call of the application until the answer was out.",
    "seconds",
    "17",
)
ACTIVE_REQUESTS: Final = Metric(
    "http_server_active_requests", Kind.GAUGE, ("app",), "Requests inside the application."
)
BUSY_RATIO: Final = Metric(
    "bigtop_busy_ratio",
    Kind.GAUGE,
    ("app",),
    "Share of the places for calls (workers times threads) that were taken since the scrape before, or in "
    "the last ten seconds; more than 1 where one thread runs several.",
    "ratio",
)
QUEUE: Final = Metric(
    "bigtop_queue_seconds",
    Kind.HISTOGRAM,
    ("app",),
    "Time from the arrival of a request until the application was called; of native WSGI workers.",
    "seconds",
    "17",
)
WAITING_REQUESTS: Final = Metric(
    "bigtop_waiting_requests",
    Kind.GAUGE,
    ("app",),
    "Complete requests that wait for a worker to be free; of native WSGI workers.",
)
REQUESTS: Final = Metric(
    "bigtop_requests",
    Kind.COUNTER,
    ("app", "status"),
    "Answered requests, by class of status: 1xx to 5xx.",
    series="5",
)
ROUTE_DURATION: Final = Metric(
    "bigtop_route_duration_seconds",
    Kind.HISTOGRAM,
    ("app", "http_route"),
    f"The same time by route pattern, {MOST} at most; of Django, Flask, Starlette and FastAPI.",
    "seconds",
    "17 a pattern",
)
ROUTE_ERRORS: Final = Metric(
    "bigtop_route_errors",
    Kind.COUNTER,
    ("app", "http_route"),
    "Requests by route pattern that were answered with a 5xx.",
    series="1 a pattern",
)
CALL: Final = Metric(
    "bigtop_call_seconds",
    Kind.COUNTER,
    ("app",),
    "Time inside the application, all requests together.",
    "seconds",
)
RECEIVED: Final = Metric(
    "bigtop_received_bytes",
    Kind.COUNTER,
    ("app",),
    "Bytes received from clients; of native workers.",
    "bytes",
)
SENT: Final = Metric("bigtop_sent_bytes", Kind.COUNTER, ("app",), "Bytes sent to clients.", "bytes")
ACCEPTED: Final = Metric(
    "bigtop_connections_accepted",
    Kind.COUNTER,
    ("app",),
    "Connections that workers accepted, or took over from each other.",
)
HANDED_OFF: Final = Metric(
    "bigtop_connections_handed_off",
    Kind.COUNTER,
    ("app",),
    "Connections that workers handed to other workers of the application.",
)
INTERRUPTED: Final = Metric(
    "bigtop_requests_interrupted",
    Kind.COUNTER,
    ("app",),
    "Requests that were past their time limit, and were interrupted; they count among those with a 5xx.",
)
CACHE_REQUESTS: Final = Metric(
    "bigtop_cache_requests",
    Kind.COUNTER,
    ("app", "result"),
    "Requests that met the cache of answers (--cache), by result: hit, miss, stale (given although not fresh "
    "any more), passed (the request, or its answer, is not for a cache).",
    series="4",
)
CACHE_STORED: Final = Metric(
    "bigtop_cache_stored", Kind.COUNTER, ("app",), "Answers that were put into the cache."
)
CACHE_EVICTED: Final = Metric(
    "bigtop_cache_evicted", Kind.COUNTER, ("app",), "Answers that the cache forgot to make room for others."
)
CACHE_USED: Final = Metric(
    "bigtop_cache_used_bytes",
    Kind.GAUGE,
    ("app",),
    "Memory of the cache that holds answers, or did: all of it, once it was full.",
    "bytes",
)
CACHE_SIZE: Final = Metric(
    "bigtop_cache_size_bytes", Kind.GAUGE, ("app",), "Memory of the cache for answers.", "bytes"
)
WORKERS: Final = Metric("bigtop_workers", Kind.GAUGE, ("app",), "Worker processes that run.")
STARTS: Final = Metric(
    "bigtop_process_starts", Kind.COUNTER, ("watcher",), "Processes that were started, successors included."
)
EXITS: Final = Metric(
    "bigtop_worker_exits",
    Kind.COUNTER,
    ("watcher", "reason"),
    f"Processes that ended, by reason: {', '.join(ending.value for ending in Ending)}.",
    series=str(len(Ending)),
)
RELOADS: Final = Metric(
    "bigtop_reloads", Kind.COUNTER, ("watcher", "result"), "Reloads, by result: done, failed.", series="2"
)
LAST_RELOAD: Final = Metric(
    "bigtop_last_reload_timestamp_seconds",
    Kind.GAUGE,
    ("watcher",),
    "When the last reload was done, in seconds since the epoch; 0 for never.",
    "seconds",
)
GENERATION: Final = Metric(
    "bigtop_generation",
    Kind.GAUGE,
    ("watcher",),
    "Generation that the last reload led to; 0 before the first.",
)
LOG_DROPPED: Final = Metric(
    "bigtop_log_dropped",
    Kind.COUNTER,
    ("watcher",),
    "Lines of output that came faster than they could be written, and were dropped.",
)
CPU: Final = Metric(
    "bigtop_cpu_seconds",
    Kind.COUNTER,
    ("watcher",),
    "CPU time of all processes of the watcher, user and system.",
    "seconds",
)
MEMORY: Final = Metric(
    "bigtop_memory_bytes",
    Kind.GAUGE,
    ("watcher", "kind"),
    "Memory of all processes of the watcher: pss shares what is shared, rss counts it with each.",
    "bytes",
    "2",
)
BUILD: Final = Metric(
    "bigtop_build",
    Kind.INFO,
    ("version", "compiled", "python"),
    "Version of Bigtop, whether its request path is compiled, and version of Python.",
)

METRICS: Final = (
    *(REQUEST_DURATION, ACTIVE_REQUESTS, BUSY_RATIO, QUEUE, WAITING_REQUESTS, REQUESTS),
    *(ROUTE_DURATION, ROUTE_ERRORS, CALL, RECEIVED, SENT),
    *(ACCEPTED, HANDED_OFF, INTERRUPTED),
    *(CACHE_REQUESTS, CACHE_STORED, CACHE_EVICTED, CACHE_USED, CACHE_SIZE),
    *(WORKERS, STARTS, EXITS, RELOADS, LAST_RELOAD, GENERATION, LOG_DROPPED),
    *(CPU, MEMORY, BUILD),
)


class Distribution(Record):
    """The value of a histogram: how many were up to each bound, in seconds; how many in all; their sum; and
    the counts of finer buckets (ipc/histogram.py), if there are any."""

    upto: tuple[tuple[float, int], ...]
    count: int
    sum: float
    counts: tuple[int, ...] = ()


class Sample(Record):
    """One value. `labels` are the values of the metric's labels, in their order."""

    metric: Metric
    labels: tuple[str, ...]
    value: float | Distribution


def distribution(counts: list[int], nanoseconds: int) -> Distribution:
    """Return a histogram (ipc/histogram.py) of times that are so many nanoseconds together."""
    bounds = (bound / 1e9 for bound in histogram.ADVISED)
    upto = tuple(zip(bounds, histogram.advised(counts), strict=True))
    return Distribution(upto, sum(counts), nanoseconds / 1e9, tuple(counts))


_CLASSES: Final = (
    *(("1xx", Count.STATUS_1XX), ("2xx", Count.STATUS_2XX), ("3xx", Count.STATUS_3XX)),
    *(("4xx", Count.STATUS_4XX), ("5xx", Count.STATUS_5XX)),
)


def of_app(name: str, figures: AppFigures) -> Iterator[Sample]:
    """Yield what the workers of an application count."""
    app, counts = (name,), figures.counters
    latency, queue = counts[Count.LATENCY_NS], counts[Count.QUEUE_NS]
    yield Sample(REQUEST_DURATION, app, distribution(counts[LATENCIES], latency))
    yield Sample(ACTIVE_REQUESTS, app, figures.busy)
    if queue:
        yield Sample(QUEUE, app, distribution(counts[WAITS], queue))
        yield Sample(WAITING_REQUESTS, app, figures.waiting)
    for status, count in _CLASSES:
        yield Sample(REQUESTS, (name, status), counts[count])
    for pattern, routed in sorted(figures.routes.items()):
        route = (name, pattern)
        yield Sample(ROUTE_DURATION, route, distribution(routed[LATENCIES], routed[Count.LATENCY_NS]))
        yield Sample(ROUTE_ERRORS, route, routed[Count.STATUS_5XX])
    yield Sample(CALL, app, counts[Count.CALL_NS] / 1e9)
    yield Sample(RECEIVED, app, counts[Count.BYTES_IN])
    yield Sample(SENT, app, counts[Count.BYTES_OUT])
    yield Sample(ACCEPTED, app, counts[Count.ACCEPTED])
    yield Sample(HANDED_OFF, app, counts[Count.HANDED_OFF])
    yield Sample(INTERRUPTED, app, counts[Count.INTERRUPTED])
    yield Sample(WORKERS, app, figures.workers)
    if figures.cache is not None:
        yield from _of_cache(name, figures.cache)


_RESULTS: Final = (
    *(("hit", Cached.HITS), ("miss", Cached.MISSES)),
    *(("stale", Cached.STALE), ("passed", Cached.PASSED)),
)


def _of_cache(name: str, totals: cache_layout.Totals) -> Iterator[Sample]:
    for result, count in _RESULTS:
        yield Sample(CACHE_REQUESTS, (name, result), totals.counts[count])
    yield Sample(CACHE_STORED, (name,), totals.counts[Cached.STORED])
    yield Sample(CACHE_EVICTED, (name,), totals.counts[Cached.EVICTED])
    yield Sample(CACHE_USED, (name,), totals.used)
    yield Sample(CACHE_SIZE, (name,), totals.size)


def of_watcher(name: str, tally: WatcherTally) -> Iterator[Sample]:
    """Yield what the supervisor counts of a watcher."""
    yield Sample(STARTS, (name,), tally.starts)
    for ending in Ending:  # all of them: a counter that begins with its first event has no rate
        yield Sample(EXITS, (name, ending.value), tally.exits[ending])
    yield Sample(RELOADS, (name, "done"), tally.reloads)
    yield Sample(RELOADS, (name, "failed"), tally.failed_reloads)
    yield Sample(LAST_RELOAD, (name,), tally.reloaded_at)
    yield Sample(GENERATION, (name,), tally.generation)
