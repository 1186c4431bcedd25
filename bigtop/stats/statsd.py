# Figures of an application as statsd takes them, under the names that gunicorn gives them.
#
# Rules: pure. gunicorn sends a packet for each request; here, what has come to be since the last time is sent
# at once, so names and kinds are the same and the traffic does not grow with the requests. A time is sent
# once for all requests of its bucket, with the rate that says how many they are. Statuses are told by class
# (2xx), since workers count them so.

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from bigtop.ipc import histogram
from bigtop.ipc.counters import LATENCIES, Count, Counters
from bigtop.stats.figures import AppFigures

PACKET: Final = 1432  # bytes that get through Ethernet in one piece, as statsd advises

_CLASSES: Final = (
    *(("1xx", Count.STATUS_1XX), ("2xx", Count.STATUS_2XX), ("3xx", Count.STATUS_3XX)),
    *(("4xx", Count.STATUS_4XX), ("5xx", Count.STATUS_5XX)),
)


def lines(before: Counters, now: AppFigures, prefix: str = "", tags: Sequence[str] = ()) -> Iterator[str]:
    """Yield what has changed since `before`, and the gauges. `prefix` and `tags` (NAME:VALUE, for DogStatsD)
    are gunicorn's statsd_prefix and dogstatsd_tags."""
    start = f"{prefix.rstrip('.')}.gunicorn" if prefix.strip(".") else "gunicorn"
    end = f"|#{','.join(tags)}" if tags else ""
    counters = now.counters

    def grown(count: Count) -> int:
        return max(0, counters[count] - before[count])

    if grown(Count.REQUESTS):
        yield f"{start}.requests:{grown(Count.REQUESTS)}|c{end}"
    for name, count in _CLASSES:
        if grown(count):
            yield f"{start}.request.status.{name}:{grown(count)}|c{end}"
    for bucket, number in enumerate(histogram.since(before[LATENCIES], counters[LATENCIES])):
        if number:
            rate = f"|@{1 / number!r}" if number > 1 else ""
            yield f"{start}.request.duration:{histogram.middle(bucket) * 1000:.6g}|ms{rate}{end}"
    yield f"{start}.workers:{now.workers}|g{end}"


def packets(each: Iterable[str]) -> Iterator[bytes]:
    """Yield the lines in as few packets as possible, none longer than PACKET unless a single line is."""
    packet = b""
    for line in each:
        data = line.encode()
        if packet and len(packet) + 1 + len(data) > PACKET:
            yield packet
            packet = b""
        packet = packet + b"\n" + data if packet else data
    if packet:
        yield packet
