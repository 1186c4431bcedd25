"""The protobuf exposition, as Google's library reads it."""

from math import ceil, log2

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Summary
from prometheus_client.core import SummaryMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from bigtop.ipc import histogram
from bigtop.ipc.counters import LATENCIES, NONE, Count
from bigtop.stats.export import metrics, protobuf
from bigtop.stats.export.exposition import Format, render
from bigtop.stats.export.metrics import METRICS, Kind, Sample, of_app
from bigtop.stats.figures import AppFigures
from tests.support.metric_families import TYPES, families, native, values
from tests.test_metrics import everything

SHORTEST = histogram.BOUNDS[0]
LONGEST = histogram.BOUNDS[-1]


def durations(times):
    """Return the message of the histogram of requests that took so many nanoseconds."""
    counts = list(NONE)
    for time in times:
        counts[LATENCIES.start + histogram.bucket_of(time)] += 1
    counts[Count.LATENCY_NS] = sum(times)
    figures = AppFigures(counts, workers=1, busy=0, waiting=0)
    (family, *_) = families(protobuf.render(of_app("shop", figures)))
    assert family.name == "http_server_request_duration_seconds"
    (metric,) = family.metric
    return metric.histogram


class TestOurs:
    def test_the_series_are_those_of_the_text(self):
        text = render(everything(), Format.PROMETHEUS)
        read = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        assert values(protobuf.render(everything())) == read

    def test_names_helps_kinds_and_units(self):
        found = {family.name: family for family in families(protobuf.render(everything()))}
        for metric in METRICS:
            if metric not in {sample.metric for sample in everything()}:
                continue
            name = metric.name + {Kind.COUNTER: "_total", Kind.INFO: "_info"}.get(metric.kind, "")
            kind = "GAUGE" if metric.kind is Kind.INFO else metric.kind.value.upper()
            assert (TYPES[found[name].type], found[name].help, found[name].unit) == (
                (kind, metric.help, metric.unit)
            )

    def test_nothing_at_all(self):
        assert protobuf.render([]) == b""

    @given(st.text(), st.floats(allow_nan=False))
    def test_any_label_and_number(self, name, value):
        data = protobuf.render([Sample(metrics.ACTIVE_REQUESTS, (name,), value)])
        (family,) = families(data)
        shown = name.encode("utf-8", "replace").decode()
        assert family.metric[0].label[0].value == shown
        assert family.metric[0].gauge.value == value


class TestNativeHistograms:
    def test_buckets_of_schema_3(self):
        #        zero        2 ** (-56/8) s and a little more        1 s    1 s and a little more
        times = [SHORTEST, 7_812_500, 7_812_501, 10**9, 10**9, 10**9 + 1]
        found = durations(times)
        assert (found.schema, found.zero_count, found.sample_count) == (3, 1, 6)
        assert {index: count for index, count in native(found).items() if count} == {
            -56: 1,
            -55: 1,
            0: 2,
            1: 1,
        }
        assert abs(found.zero_threshold - SHORTEST / 1e9) < 1e-9

    def test_an_empty_one_is_a_native_one(self):
        found = durations([])
        assert (found.schema, found.zero_count, found.sample_count) == (3, 0, 0)
        assert found.zero_threshold > 0
        assert native(found) == {}

    @given(st.lists(st.integers(0, LONGEST)))
    def test_any_times(self, times):
        found = durations(times)
        expected = {}
        for time in times:
            if time > SHORTEST:
                index = ceil(log2(time / 1e9) * 8)
                if time <= int(2 ** ((index - 1) / 8) * 1e9):  # bounds are whole nanoseconds
                    index -= 1
                expected[index] = expected.get(index, 0) + 1
        assert {index: count for index, count in native(found).items() if count} == expected
        assert found.zero_count == sum(time <= SHORTEST for time in times)

    def test_what_is_too_long_is_in_the_last_bucket(self):
        assert native(durations([LONGEST, LONGEST + 1, 10**15])) == {54: 1, 55: 2}

    @given(st.sets(st.integers(0, histogram.SIZE - 1)))
    def test_spans_are_few_and_begin_and_end_with_something(self, filled):
        counts = [0] * histogram.SIZE
        for number in filled:
            counts[number] = 3
        (family, *_) = families(
            protobuf.render([Sample(metrics.REQUEST_DURATION, ("shop",), metrics.distribution(counts, 0))])
        )
        message = family.metric[0].histogram
        found = native(message)
        assert sum(found.values()) + message.zero_count == 3 * len(filled)
        for span in message.positive_span[1:]:
            assert span.offset > 2


class TestOfApplications:
    """What prometheus_client counted."""

    def test_each_kind(self):
        registry = CollectorRegistry()
        Counter("jobs", "Done.", ["kind"], registry=registry).labels("mail").inc(3)
        Gauge("depth", "Of the queue.", registry=registry).set(-2.5)
        Histogram("took_seconds", "Time.", buckets=(1, 5), registry=registry).observe(2)
        Summary("size_bytes", "Size.", registry=registry).observe(7)
        Info("version", "Which.", registry=registry).info({"name": "a"})
        quantiles = SummaryMetricFamily("wait_seconds", "Time.", count_value=2, sum_value=3)
        quantiles.add_sample("wait_seconds", {"quantile": "0.5"}, 1.5)
        data = protobuf.render_collected([*registry.collect(), quantiles])
        found = values(data)
        assert found == {
            ("jobs_total", ("kind", "mail")): 3,
            ("depth",): -2.5,
            ("took_seconds_bucket", ("le", "1.0")): 0,
            ("took_seconds_bucket", ("le", "5.0")): 1,
            ("took_seconds_bucket", ("le", "+Inf")): 1,
            ("took_seconds_count",): 1,
            ("took_seconds_sum",): 2,
            ("size_bytes_count",): 1,
            ("size_bytes_sum",): 7,
            ("version", ("name", "a")): 1,
            ("wait_seconds_count",): 2,
            ("wait_seconds_sum",): 3,
        }
        by_name = {family.name: family for family in families(data)}
        (quantile,) = by_name["wait_seconds"].metric[0].summary.quantile
        assert (quantile.quantile, quantile.value) == (0.5, 1.5)
        assert {name: TYPES[family.type] for name, family in by_name.items()} == {
            "jobs_total": "COUNTER",
            "depth": "GAUGE",
            "took_seconds": "HISTOGRAM",
            "size_bytes": "SUMMARY",
            "version": "UNTYPED",
            "wait_seconds": "SUMMARY",
        }
