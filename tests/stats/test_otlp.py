# Samples as OpenTelemetry has them.

from __future__ import annotations

from typing import Any

import pytest

from bigtop.stats.export import metrics
from bigtop.stats.export.metrics import METRICS, Kind, Sample

pytest.importorskip("opentelemetry.sdk", reason="pip install 'bigtop[otlp]'")

from bigtop.stats.export import otlp


def only(sample: Sample) -> Any:
    """Return the one metric that a sample becomes."""
    (resource,) = otlp.data([sample], 1000.0, 2000.5).resource_metrics
    (scope,) = resource.scope_metrics
    assert scope.scope.name == "bigtop"
    (found,) = scope.metrics
    return found


def test_names_are_those_of_opentelemetry_or_ours() -> None:
    names = [otlp.name(metric) for metric in METRICS]
    assert names[:2] == ["http.server.request.duration", "http.server.active_requests"]
    assert all(name.startswith("bigtop.") for name in names[2:])
    assert len(set(names)) == len(names)
    assert otlp.name(metrics.CPU) == "bigtop.cpu"


def test_a_counter_only_grows_since_the_supervisor_began() -> None:
    found = only(Sample(metrics.REQUESTS, ("shop", "2xx"), 7))
    (point,) = found.data.data_points
    assert (found.name, found.unit, found.data.is_monotonic) == ("bigtop.requests", "1", True)
    assert (point.attributes, point.value) == ({"app": "shop", "status": "2xx"}, 7)
    assert (point.start_time_unix_nano, point.time_unix_nano) == (1000 * 10**9, 2000_500_000_000)


def test_a_histogram_has_exact_counts_at_the_advised_bounds() -> None:
    counts = [0] * metrics.histogram.SIZE
    for time in (10**6, 6 * 10**6, 6 * 10**6, 3 * 10**9, 60 * 10**9):
        counts[metrics.histogram.bucket_of(time)] += 1
    value = metrics.distribution(counts, 63_013_000_000)
    found = only(Sample(metrics.REQUEST_DURATION, ("shop",), value))
    (point,) = found.data.data_points
    assert (found.unit, point.count, point.sum) == ("s", 5, 63.013)
    assert point.explicit_bounds == [bound / 1e9 for bound in metrics.histogram.ADVISED]
    assert sum(point.bucket_counts) == 5
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    assert (point.bucket_counts[0], point.bucket_counts[1], point.bucket_counts[-1]) == (1, 2, 1)


def test_all_kinds_become_something() -> None:
    kinds = {metric.kind: metric for metric in METRICS if metric.kind is not Kind.HISTOGRAM}
    for metric in kinds.values():
        assert only(Sample(metric, ("x",) * len(metric.labels), 1)).data.data_points


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "bigtop"),
        ({"OTEL_SERVICE_NAME": "shop"}, "shop"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=blog"}, "blog"),
    ],
)
def test_who_we_are(environ: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    (resource,) = otlp.data([], 1.0, 2.0).resource_metrics
    assert resource.resource.attributes["service.name"] == name
