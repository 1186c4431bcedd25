# Metrics as OpenTelemetry's exporter takes them, made from the samples that /metrics shows.
#
# Rules: names and units are OpenTelemetry's: http.server.request.duration in seconds where it has one, and
# bigtop.NAME for ours. The bounds of histograms are those that it advises, and counts are exact. Its SDK
# counts nothing here: its data classes only carry what was counted already.

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Final

from opentelemetry.sdk.metrics import export as otel
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from bigtop import __version__
from bigtop.stats.export.metrics import REQUEST_DURATION, Distribution, Kind, Metric, Sample

_UNITS: Final = {"seconds": "s", "bytes": "By", "ratio": "1", "": "1"}
_CUMULATIVE: Final = otel.AggregationTemporality.CUMULATIVE


def name(metric: Metric) -> str:
    """Return OpenTelemetry's name of a metric."""
    text = metric.name.removesuffix(f"_{metric.unit}") if metric.unit else metric.name
    text = text.replace("http_server_", "http.server.").replace("bigtop_", "bigtop.")
    return "http.server.request.duration" if metric is REQUEST_DURATION else text


def data(samples: Iterable[Sample], begun: float, now: float) -> Any:
    """Return a MetricsData of all samples, counted since `begun`; both are seconds since the epoch."""
    by_metric: dict[Metric, list[Any]] = {}
    span = {"start_time_unix_nano": int(begun * 1e9), "time_unix_nano": int(now * 1e9)}
    for sample in samples:
        labels = {
            label.replace("http_", "http."): text
            for label, text in zip(sample.metric.labels, sample.labels, strict=True)
        }
        by_metric.setdefault(sample.metric, []).append(_point(sample.value, labels, span))
    metrics = [
        otel.Metric(name(metric), metric.help, _UNITS[metric.unit], _series(metric, points))
        for metric, points in by_metric.items()
    ]
    scope = otel.ScopeMetrics(InstrumentationScope("bigtop", __version__), metrics, "")
    return otel.MetricsData([otel.ResourceMetrics(_resource(), [scope], "")])


def _point(value: float | Distribution, labels: dict[str, str], span: dict[str, int]) -> Any:
    if not isinstance(value, Distribution):
        return otel.NumberDataPoint(attributes=labels, value=value, **span)
    upto = [0, *(count for _, count in value.upto), value.count]
    return otel.HistogramDataPoint(
        attributes=labels,
        count=value.count,
        sum=value.sum,
        bucket_counts=[late - early for early, late in pairwise(upto)],
        explicit_bounds=[bound for bound, _ in value.upto],
        min=None,
        max=None,
        **span,
    )


def _series(metric: Metric, points: list[Any]) -> Any:
    match metric.kind:
        case Kind.COUNTER:
            return otel.Sum(points, _CUMULATIVE, is_monotonic=True)
        case Kind.HISTOGRAM:
            return otel.Histogram(points, _CUMULATIVE)
        case Kind.GAUGE | Kind.INFO:
            return otel.Gauge(points)


def _resource() -> Any:
    """Return who we are: as OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say, bigtop where they do not."""
    said = "OTEL_SERVICE_NAME" in os.environ or "service.name" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    return Resource.create({} if said else {"service.name": "bigtop"})
