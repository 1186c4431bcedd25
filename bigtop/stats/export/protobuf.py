# Exposition of metrics as protobuf: Prometheus' MetricFamily messages, delimited, with native histograms.
#
# Rules: pure. The series are those of the texts (exposition.py); a histogram has its buckets of schema 3 as
# well, from which Prometheus makes one series instead of seventeen. What is written is a small part of
# protobuf, and only written: a library of a megabyte would do no more. The numbers are those of
# https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from enum import IntEnum
from math import inf
from typing import Any, Final

from bigtop.ipc import histogram
from bigtop.stats.export.exposition import SUFFIXES, by_metric
from bigtop.stats.export.metrics import Distribution, Kind, Sample

Labels = Iterable[tuple[str, str]]


class Type(IntEnum):
    """MetricType; each with the field of Metric that holds such a value."""

    COUNTER = 0
    GAUGE = 1
    SUMMARY = 2
    UNTYPED = 3
    HISTOGRAM = 4


_FIELD: Final = {Type.COUNTER: 3, Type.GAUGE: 2, Type.SUMMARY: 4, Type.UNTYPED: 5, Type.HISTOGRAM: 7}
_OURS: Final = {
    Kind.COUNTER: Type.COUNTER,
    Kind.GAUGE: Type.GAUGE,
    Kind.INFO: Type.GAUGE,
    Kind.HISTOGRAM: Type.HISTOGRAM,
}
_MOST_EMPTY: Final = 2  # buckets between two that are not, which cost less than a span


def render(samples: Iterable[Sample]) -> bytes:
    """Return the messages of all samples, metric by metric in the order of METRICS."""
    return b"".join(
        _family(
            metric.name + SUFFIXES.get(metric.kind, ""),
            metric.help,
            _OURS[metric.kind],
            [
                _metric(zip(metric.labels, sample.labels, strict=True), _OURS[metric.kind], _value(sample))
                for sample in found
            ],
            metric.unit,
        )
        for metric, found in by_metric(samples)
    )


def render_collected(families: Iterable[Any]) -> bytes:
    """Return the messages of metric families of prometheus_client."""
    return b"".join(_collected(family) for family in families)


def _value(sample: Sample) -> bytes:
    value = sample.value
    if not isinstance(value, Distribution):
        return _double(1, value)
    return _histogram([*value.upto, (inf, value.count)], value.count, value.sum) + _native(value.counts)


# ---- histograms


def _histogram(upto: Iterable[tuple[float, int]], count: int, total: float) -> bytes:
    buckets = [_message(3, _number(1, number) + _double(2, bound)) for bound, number in upto]
    return b"".join((_number(1, count), _double(2, total), *buckets))


def _native(counts: Sequence[int]) -> bytes:
    """Return the fields of a native histogram for the counts of ipc/histogram.py, nothing for none."""
    if not counts:
        return b""
    lowest, exponential = histogram.exponential(counts)
    zero, *buckets = exponential
    spans, deltas = [], []
    at = before = 0  # where the last span ended, and the count of its last bucket
    for index, length in _filled(buckets):
        offset = lowest + 1 + index - at
        spans.append(_message(12, _number(1, _zigzag(offset)) + _number(2, length)))
        for number in buckets[index : index + length]:
            deltas.append(_varint(_zigzag(number - before)))
            before = number
        at += offset + length
    return b"".join(
        (
            _number(5, _zigzag(histogram.SCHEMA)),
            _double(6, histogram.GROWTH**lowest),
            _number(7, zero),
            *spans,
            _message(13, b"".join(deltas)) if deltas else b"",
        )
    )


def _filled(buckets: Sequence[int]) -> list[tuple[int, int]]:
    """Return where buckets stand that hold something, and how many."""
    found: list[tuple[int, int]] = []
    for index, count in enumerate(buckets):
        if not count:
            continue
        if found and index - sum(found[-1]) <= _MOST_EMPTY:
            found[-1] = found[-1][0], index - found[-1][0] + 1
        else:
            found.append((index, 1))
    return found


# ---- what applications count


_KINDS: Final = {
    "counter": (Type.COUNTER, "_total"),
    "gauge": (Type.GAUGE, ""),
    "histogram": (Type.HISTOGRAM, ""),
    "summary": (Type.SUMMARY, ""),
}


def _collected(family: Any) -> bytes:
    kind, suffix = _KINDS.get(family.type, (Type.UNTYPED, ""))
    series: dict[tuple[tuple[str, str], ...], list[Any]] = {}
    for sample in family.samples:
        if sample.name.endswith("_created"):
            continue
        inner = {"le": Type.HISTOGRAM, "quantile": Type.SUMMARY}
        labels = [(name, text) for name, text in sample.labels.items() if inner.get(name) is not kind]
        series.setdefault(tuple(sorted(labels)), []).append(sample)
    metrics = [_metric(labels, kind, _of_kind(kind, found)) for labels, found in series.items()]
    return _family(family.name + suffix, family.documentation, kind, metrics)


def _of_kind(kind: Type, samples: Sequence[Any]) -> bytes:
    if kind not in (Type.HISTOGRAM, Type.SUMMARY):
        return _double(1, samples[-1].value)
    values = {sample.name.rpartition("_")[2]: sample.value for sample in samples}
    count, total = int(values.get("count", 0)), values.get("sum", 0.0)
    if kind is Type.HISTOGRAM:
        upto = sorted((float(sample.labels["le"]), int(sample.value)) for sample in _labelled(samples, "le"))
        return _histogram(upto, count, total)
    quantiles = [
        _message(3, _double(1, float(sample.labels["quantile"])) + _double(2, sample.value))
        for sample in _labelled(samples, "quantile")
    ]
    return b"".join((_number(1, count), _double(2, total), *quantiles))


def _labelled(samples: Iterable[Any], label: str) -> list[Any]:
    return [sample for sample in samples if label in sample.labels]


# ---- messages


def _family(name: str, text: str, kind: Type, metrics: Iterable[bytes], unit: str = "") -> bytes:
    parts = (_text(1, name), _text(2, text), _number(3, kind), *metrics, _text(5, unit) if unit else b"")
    body = b"".join(parts)
    return _varint(len(body)) + body


def _metric(labels: Labels, kind: Type, value: bytes) -> bytes:
    pairs = [_message(1, _text(1, name) + _text(2, text)) for name, text in labels]
    return _message(4, b"".join((*pairs, _message(_FIELD[kind], value))))


# ---- fields


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _zigzag(value: int) -> int:
    return value * 2 if value >= 0 else -value * 2 - 1


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _message(field: int, body: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(body)) + body


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode("utf-8", "replace"))
