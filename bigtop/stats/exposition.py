# Exposition of metrics as text: Prometheus 0.0.4 and OpenMetrics 1.0, and which of them a scraper wants.
#
# Rule: pure. The series are the same in both formats, to the letter: a scraper that changes from the one to
# the other goes on with them. https://prometheus.io/docs/instrumenting/exposition_formats/ and
# https://prometheus.io/docs/specs/om/open_metrics_spec/ say how they are written.

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from math import inf, isnan

from bigtop.stats.metrics import METRICS, Distribution, Kind, Metric, Sample


class Format(Enum):
    """A format, by its Content-Type."""

    PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def chosen(accept: str) -> Format:
    """Return the format for an Accept header: OpenMetrics where it is asked for at least as much as text."""
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for part in accept.split(","):
        kind, *parameters = (word.strip().lower() for word in part.split(";"))
        if kind in weights:
            weights[kind] = max(weights[kind], _weight(parameters))
    openmetrics, text = weights.values()
    return Format.OPENMETRICS if openmetrics and openmetrics >= text else Format.PROMETHEUS


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def render(samples: Iterable[Sample], form: Format = Format.PROMETHEUS) -> str:
    """Return the text of all samples, metric by metric in the order of METRICS."""
    by_metric: dict[Metric, list[Sample]] = {}
    for sample in samples:
        by_metric.setdefault(sample.metric, []).append(sample)
    lines: list[str] = []
    for metric in METRICS:
        if metric in by_metric:
            lines += _head(metric, form)
            for sample in by_metric[metric]:
                lines += _lines(sample)
    if form is Format.OPENMETRICS:
        lines.append("# EOF")
    return "".join(f"{line}\n" for line in lines)


_SUFFIXES = {Kind.COUNTER: "_total", Kind.INFO: "_info"}


def _head(metric: Metric, form: Format) -> Iterator[str]:
    name, kind, text = metric.name, metric.kind.value, metric.help.replace("\\", r"\\")
    if form is Format.PROMETHEUS:  # which knows neither families nor infos
        name += _SUFFIXES.get(metric.kind, "")
        kind = "gauge" if metric.kind is Kind.INFO else kind
    else:
        text = text.replace('"', r"\"")
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    if metric.unit and form is Format.OPENMETRICS:
        yield f"# UNIT {name} {metric.unit}"


def _lines(sample: Sample) -> Iterator[str]:
    name, value = sample.metric.name, sample.value
    pairs = [
        f'{label}="{_escaped(text)}"' for label, text in zip(sample.metric.labels, sample.labels, strict=True)
    ]
    if isinstance(value, Distribution):
        for bound, count in (*value.upto, (inf, value.count)):
            yield f"{name}_bucket{{{','.join([*pairs, _le(bound)])}}} {count}"
        yield f"{name}_count{{{','.join(pairs)}}} {value.count}"
        yield f"{name}_sum{{{','.join(pairs)}}} {number(value.sum)}"
    else:
        yield f"{name}{_SUFFIXES.get(sample.metric.kind, '')}{{{','.join(pairs)}}} {number(value)}"


def _le(bound: float) -> str:
    return f'le="{number(float(bound))}"'


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def number(value: float) -> str:
    """Return a number as both formats write it."""
    if value in (inf, -inf):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if isnan(value) else repr(value)
