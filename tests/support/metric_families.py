"""Prometheus' protobuf messages, as Google's library reads them: io/prometheus/client/metrics.proto."""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal.decoder import _DecodeVarint32

PACKAGE = "io.prometheus.client"
TYPES = ("COUNTER", "GAUGE", "SUMMARY", "UNTYPED", "HISTOGRAM", "GAUGE_HISTOGRAM")
# Message: its fields, each with number and type; "*" for several.
MESSAGES = {
    "LabelPair": "1 name string, 2 value string",
    "Gauge": "1 value double",
    "Counter": "1 value double",
    "Untyped": "1 value double",
    "Quantile": "1 quantile double, 2 value double",
    "Summary": "1 sample_count uint64, 2 sample_sum double, 3 quantile Quantile*",
    "Bucket": "1 cumulative_count uint64, 2 upper_bound double",
    "BucketSpan": "1 offset sint32, 2 length uint32",
    "Histogram": (
        "1 sample_count uint64, 2 sample_sum double, 3 bucket Bucket*, 5 schema sint32, "
        "6 zero_threshold double, 7 zero_count uint64, 12 positive_span BucketSpan*, "
        "13 positive_delta sint64*"
    ),
    "Metric": (
        "1 label LabelPair*, 2 gauge Gauge, 3 counter Counter, 4 summary Summary, 5 untyped Untyped, "
        "7 histogram Histogram"
    ),
    "MetricFamily": "1 name string, 2 help string, 3 type MetricType, 4 metric Metric*, 5 unit string",
}


def _built():
    file = descriptor_pb2.FileDescriptorProto(name="metrics.proto", package=PACKAGE, syntax="proto2")
    kinds = file.enum_type.add(name="MetricType")
    for number, name in enumerate(TYPES):
        kinds.value.add(name=name, number=number)
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in fields.split(", "):
            number, title, kind = field.split()
            described = message.field.add(name=title, number=int(number))
            described.label = 3 if kind.endswith("*") else 1
            described.options.packed = kind == "sint64*"  # as Prometheus writes it; readers take both
            kind = kind.rstrip("*")
            if kind.islower():
                described.type = getattr(described, f"TYPE_{kind.upper()}")
            else:
                described.type_name = f".{PACKAGE}.{kind}"
                described.type = described.TYPE_ENUM if kind == "MetricType" else described.TYPE_MESSAGE
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.MetricFamily"))


MetricFamily = _built()


def families(data):
    """Return the families of an exposition. Nothing in it may be unknown to the messages."""
    found, at = [], 0
    while at < len(data):
        size, at = _DecodeVarint32(data, at)
        family = MetricFamily.FromString(data[at : at + size])
        assert family.SerializeToString() == data[at : at + size]
        found.append(family)
        at += size
    assert at == len(data)
    return found


def values(data):
    """Return every sample as the texts have it, by its name and labels."""
    found = {}
    for family in families(data):
        for metric in family.metric:
            labels = tuple(sorted((pair.name, pair.value) for pair in metric.label))
            for part in ("gauge", "counter", "untyped"):
                if metric.HasField(part):
                    found[family.name, *labels] = getattr(metric, part).value
            for part in ("histogram", "summary"):
                if metric.HasField(part):
                    found[f"{family.name}_count", *labels] = getattr(metric, part).sample_count
                    found[f"{family.name}_sum", *labels] = getattr(metric, part).sample_sum
            for bucket in metric.histogram.bucket:
                bound = f"{bucket.upper_bound}".replace("inf", "+Inf")
                inner = tuple(sorted((*labels, ("le", bound))))
                found[f"{family.name}_bucket", *inner] = bucket.cumulative_count
    return found


def native(histogram):
    """Return the counts of a native histogram by the index of their bucket, as Prometheus reads them."""
    counts, index, count = {}, 0, 0
    deltas = iter(histogram.positive_delta)
    for span in histogram.positive_span:
        index += span.offset
        for _ in range(span.length):
            count += next(deltas)
            counts[index] = count
            index += 1
    assert next(deltas, None) is None
    return counts
