"""The table of metrics, its text as Prometheus' own parsers read it, and which format is chosen."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from bigtop.ipc import histogram
from bigtop.ipc.cache_layout import Count as Cached
from bigtop.ipc.cache_layout import Totals
from bigtop.ipc.counters import LATENCIES, NONE, WAITS, Count
from bigtop.stats.export import metrics
from bigtop.stats.export.exposition import Format, chosen, number, render
from bigtop.stats.export.metrics import METRICS, Distribution, Kind, Metric, Sample, of_app, of_watcher
from bigtop.stats.figures import AppFigures
from bigtop.supervisor.policy.messages import Ending
from bigtop.supervisor.policy.tally import WatcherTally

READ = {Format.PROMETHEUS: prometheus, Format.OPENMETRICS: openmetrics}
NAMES = st.text(min_size=1).filter(lambda text: text.isprintable() or "\n" in text)


@pytest.fixture(params=READ)
def form(request):
    return request.param


def figures(*times, routes=None):
    """Of requests that took so many nanoseconds, and waited as long."""
    counts = list(NONE)
    for time in times:
        for part in (LATENCIES, WAITS):
            counts[part.start + histogram.bucket_of(time)] += 1
    counts[Count.REQUESTS] = counts[Count.STATUS_2XX] = len(times)
    for count in (Count.LATENCY_NS, Count.CALL_NS, Count.QUEUE_NS):
        counts[count] = sum(times)
    counts[Count.BYTES_OUT] = 2**60
    cache = Totals(512, 2**20, dict(zip(Cached, range(1, len(Cached) + 1), strict=True)))
    return AppFigures(counts, workers=4, busy=2, waiting=1, routes=routes or {}, cache=cache)


def everything():
    tally = WatcherTally(starts=5, reloads=2, failed_reloads=1, reloaded_at=1.5e9, generation=3)
    tally.exits[Ending.SIGNAL] = 7
    yield from of_app("shop", figures(10**6, 3 * 10**9, routes={"/items/<id>": figures(10**6).counters}))
    yield Sample(metrics.BUSY_RATIO, ("shop",), 0.5)
    yield from of_watcher("shop", tally)
    yield Sample(metrics.LOG_DROPPED, ("celery",), 12)
    yield Sample(metrics.CPU, ("celery",), 12.5)
    yield Sample(metrics.MEMORY, ("celery", "pss"), 4096)
    yield Sample(metrics.BUILD, ("1.0", "yes", "3.11.7"), 1)


def read(text, form):
    """Return the value of every sample, by its name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in READ[form](text)
        for sample in family.samples
    }


class TestText:
    def test_what_is_written_is_what_is_read(self, form):
        values = read(render(everything(), form), form)
        shop = ("app", "shop")
        assert values["http_server_request_duration_seconds_count", shop] == 2
        assert values["http_server_request_duration_seconds_sum", shop] == 3.001
        assert values["bigtop_requests_total", shop, ("status", "2xx")] == 2
        assert values["bigtop_sent_bytes_total", shop] == 2**60
        assert values["bigtop_worker_exits_total", ("reason", "signal"), ("watcher", "shop")] == 7
        assert values["bigtop_reloads_total", ("result", "failed"), ("watcher", "shop")] == 1
        results = [values["bigtop_cache_requests_total", shop, ("result", one)] for one in ("hit", "passed")]
        assert results == [Cached.HITS + 1, Cached.PASSED + 1]
        assert values["bigtop_cache_stored_total", shop] == Cached.STORED + 1
        assert values["bigtop_cache_evicted_total", shop] == Cached.EVICTED + 1
        assert values["bigtop_cache_used_bytes", shop] == 512
        labels = ("compiled", "yes"), ("python", "3.11.7"), ("version", "1.0")
        assert values["bigtop_build_info", *labels] == 1

    def test_buckets_are_those_of_opentelemetry(self, form):
        values = read(render(everything(), form), form)
        name = "http_server_request_duration_seconds_bucket"
        buckets = {dict(key[1:])["le"]: value for key, value in values.items() if key[0] == name}
        assert [float(bound) for bound in buckets] == [
            *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, float("inf"))
        ]
        assert [buckets[bound] for bound in ("0.005", "2.5", "5.0", "+Inf")] == [1, 1, 2, 2]

    def test_series_are_the_same_in_both_formats(self):
        texts = [render(everything(), form) for form in READ]
        series = [
            [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
            for text in texts
        ]
        assert series[0] == series[1]

    def test_kinds_and_helps_arrive(self, form):
        families = {family.name: family for family in READ[form](render(everything(), form))}
        for metric in METRICS:
            name = metric.name
            if form is Format.PROMETHEUS and metric.kind is Kind.INFO:
                name += "_info"
            kind = "gauge" if name.endswith("_info") else metric.kind.value
            assert (families[name].type, families[name].documentation) == (kind, metric.help)
            if form is Format.OPENMETRICS:
                assert families[name].unit == metric.unit

    def test_an_application_that_measures_no_queue_has_none(self, form):
        quick = figures()
        assert "bigtop_queue_seconds" not in render(of_app("api", quick), form)

    def test_nothing_at_all(self):
        assert render([], Format.PROMETHEUS) == ""
        assert render([], Format.OPENMETRICS) == "# EOF\n"

    @given(NAMES, st.sampled_from(list(READ)))
    def test_any_name(self, name, form):
        values = read(render([Sample(metrics.WORKERS, (name,), 3)], form), form)
        assert values == {("bigtop_workers", ("app", name)): 3}

    @given(st.one_of(st.floats(), st.integers(-(2**53), 2**53)))
    def test_any_number(self, value):
        assert float(number(value)) == value or value != value

    @given(st.lists(st.integers(0, 100 * 10**9)), st.sampled_from(list(READ)))
    def test_any_histogram(self, times, form):
        text = render(of_app("shop", figures(*times)), form)
        values = read(text, form)
        name = "http_server_request_duration_seconds"
        for bound in histogram.ADVISED:
            key = (f"{name}_bucket", ("app", "shop"), ("le", str(bound / 1e9)))
            assert values[key] == sum(time <= bound for time in times)


PROMETHEUS_3 = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


class TestChoice:
    @pytest.mark.parametrize(
        ("accept", "form"),
        [
            ("", Format.PROMETHEUS),
            ("*/*", Format.PROMETHEUS),
            ("text/plain", Format.PROMETHEUS),
            ("application/openmetrics-text", Format.OPENMETRICS),
            ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.6", Format.PROMETHEUS),
            (PROMETHEUS_3, Format.PROTOBUF),
            (PROMETHEUS_3.replace("q=0.6", "q=0.4"), Format.OPENMETRICS),
            (PROMETHEUS_3.replace("=delimited", "=text"), Format.OPENMETRICS),
            (PROMETHEUS_3.replace("MetricFamily", "Metric"), Format.OPENMETRICS),
            (PROMETHEUS_3.replace("=delimited", '="delimited"'), Format.PROTOBUF),
            ("application/vnd.google.protobuf", Format.PROMETHEUS),
            ("application/openmetrics-text;q=nan", Format.PROMETHEUS),
            ("application/openmetrics-text;q=0", Format.PROMETHEUS),
            ("application/openmetrics-text;q=much", Format.PROMETHEUS),
        ],
    )
    def test_by_what_is_accepted(self, accept, form):
        assert chosen(accept) is form


# What `promtool check metrics` complains about, as far as the table can do it wrong.
UNITS = "seconds|bytes|ratio|celsius|meters|volts|amperes|joules|grams"
ABBREVIATED = (
    r"_(s|ms|us|ns|sec|secs|b|kb|mb|gb|milliseconds|microseconds|nanoseconds|kilobytes|megabytes)(_|$)"
)


def complaints(metric):
    name = metric.name
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        yield "not in snake_case"
    if re.search(r"_(total|count|sum|bucket|info|created)$", name):
        yield "ends as only formats may have it end"
    if re.search(r"(^|_)(counter|gauge|histogram|summary)(_|$)", name):
        yield "has its kind in its name"
    if re.search(ABBREVIATED, name):
        yield "has no base unit"
    found = re.search(rf"_({UNITS})$", name)
    if metric.unit != (found[1] if found else ""):
        yield "does not end with its unit"
    if not re.fullmatch(r"[A-Z][^\n]*\.", metric.help):
        yield "has no sentence"
    if any(
        not re.fullmatch(r"[a-z_]+", label) or label in ("le", "quantile", "job") for label in metric.labels
    ):
        yield "has a label that is reserved"
    if {"pid", "path", "client", "worker"} & set(metric.labels):
        yield "has a label without bounds"


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_lint(metric):
    assert list(complaints(metric)) == []


@pytest.mark.parametrize(
    ("name", "unit", "text"),
    [
        ("bigtop_reqs_total", "", "Requests."),
        ("bigtopRequests", "", "Requests."),
        ("bigtop_queue_ms", "", "Time."),
        ("bigtop_queue_seconds", "", "Time."),
        ("bigtop_queue", "seconds", "Time."),
        ("bigtop_requests_counter", "", "Requests."),
        ("bigtop_requests", "", ""),
    ],
)
def test_lint_finds_what_is_wrong(name, unit, text):
    assert len(list(complaints(Metric(name, Kind.GAUGE, (), text, unit)))) == 1


def test_names_are_there_once():
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_the_table_says_how_many_series_there_are():
    counted = {}
    for sample in everything():
        lines = len(sample.value.upto) + 3 if isinstance(sample.value, Distribution) else 1
        counted[sample.metric] = counted.get(sample.metric, 0) + lines
    counted[metrics.MEMORY] += 1  # the other kind
    assert {metric.name: str(count) for metric, count in counted.items()} == {
        metric.name: metric.series.partition(" ")[0] for metric in METRICS
    }
