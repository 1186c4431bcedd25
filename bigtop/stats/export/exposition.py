# Exposition of metrics as text: Prometheus 0.0.4 and OpenMetrics 1.0; and which format a scraper wants, these
# or protobuf (protobuf.py).
#
# Rule: pure. The series are the same in all formats, to the letter: a scraper that changes from the one to
# the other goes on with them. https://prometheus.io/docs/instrumenting/exposition_formats/ and
# https://prometheus.io/docs/specs/om/open_metrics_spec/ say how they are written.

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from math import inf, isnan
from typing import Final

from bigtop.stats.export.metrics import METRICS, Distribution, Kind, Metric, Sample


class Format(Enum):
    """A format, by its Content-Type."""

    PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"


def chosen(accept: str) -> Format:
    """Return the format for an Accept header: that which is wanted most, of several the one that says more;
    text where none is asked for."""
    weights = dict.fromkeys((Format.PROTOBUF, Format.OPENMETRICS, Format.PROMETHEUS), 0.0)
    for part in accept.split(","):
        kind, *parameters = (word.strip().lower() for word in part.split(";"))
        form = _KINDS.get(kind)
        if form is not None and _is_ours(form, given := dict(map(_parameter, parameters))):
            weights[form] = max(weights[form], _weight(given.get("q", "1")))
    form = max(weights, key=lambda each: weights[each])
    return form if weights[form] else Format.PROMETHEUS


_KINDS: Final = {form.value.partition(";")[0]: form for form in Format}
_MESSAGE: Final = {"proto": "io.prometheus.client.metricfamily", "encoding": "delimited"}


def _is_ours(form: Format, parameters: Mapping[str, str]) -> bool:
    """Whether it is this protobuf that is asked for: there are other messages, and ways to write them."""
    return form is not Format.PROTOBUF or _MESSAGE.items() <= parameters.items()


def _parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip(), value.strip().strip('"')


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0


def render(samples: Iterable[Sample], form: Format = Format.PROMETHEUS) -> str:
    """Return the text of all samples, metric by metric in the order of METRICS."""
    lines: list[str] = []
    for metric, found in by_metric(samples):
        lines += _head(metric, form)
        for sample in found:
            lines += _lines(sample)
    if form is Format.OPENMETRICS:
        lines.append("# EOF")
    return "".join(f"{line}\n" for line in lines)


def by_metric(samples: Iterable[Sample]) -> Iterator[tuple[Metric, list[Sample]]]:
    """Yield the metrics that there are samples of, in the order of METRICS, with these."""
    found: dict[Metric, list[Sample]] = {}
    for sample in samples:
        found.setdefault(sample.metric, []).append(sample)
    yield from ((metric, found[metric]) for metric in METRICS if metric in found)


SUFFIXES: Final = {Kind.COUNTER: "_total", Kind.INFO: "_info"}


def _head(metric: Metric, form: Format) -> Iterator[str]:
    name, kind, text = metric.name, metric.kind.value, metric.help.replace("\\", r"\\")
    if form is Format.PROMETHEUS:  # which knows neither families nor infos
        name += SUFFIXES.get(metric.kind, "")
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
        yield f"{name}{SUFFIXES.get(sample.metric.kind, '')}{{{','.join(pairs)}}} {number(value)}"


def _le(bound: float) -> str:
    return f'le="{number(float(bound))}"'


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def number(value: float) -> str:
    """Return a number as both formats write it."""
    if value in (inf, -inf):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if isnan(value) else repr(value)
