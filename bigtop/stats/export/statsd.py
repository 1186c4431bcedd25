# Figures as statsd takes them, under the names that gunicorn gives them, or those of Circus' plugins.
#
# Rules: pure. gunicorn sends a packet for each request; here, what has come to be since the last time is sent
# at once, so names and kinds are the same and the traffic does not grow with the requests. A time is sent
# once for all requests of its bucket, with the rate that says how many they are. Statuses are told by class
# (2xx), since workers count them so. What Circus counts by its events is counted by the supervisor here.

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from bigtop.control.events import topic_word
from bigtop.emission import Emission
from bigtop.ipc import histogram
from bigtop.ipc.counters import LATENCIES, Count, Counters
from bigtop.record import Record
from bigtop.stats.figures import AppFigures
from bigtop.stats.processes.samples import Figure
from bigtop.supervisor.policy.tally import WatcherTally

PACKET: Final = 1432  # bytes that get through Ethernet in one piece, as statsd advises

_CLASSES: Final = (
    *(("1xx", Count.STATUS_1XX), ("2xx", Count.STATUS_2XX), ("3xx", Count.STATUS_3XX)),
    *(("4xx", Count.STATUS_4XX), ("5xx", Count.STATUS_5XX)),
)


class Names(Record):
    """What stands before and after each figure."""

    start: str
    end: str

    def line(self, name: str, value: object, kind: str) -> str:
        return f"{self.start}{name}:{value}|{kind}{self.end}"


def of_gunicorn(emission: Emission, app: str) -> Names:
    """Return how gunicorn names the figures of an application."""
    parts = [emission.prefix, _word(app) if emission.has_names else "", "gunicorn", ""]
    return Names(".".join(part for part in parts[:-1] if part) + ".", _tags(emission))


def of_circus(emission: Emission) -> Names:
    """Return how Circus' plugins name figures; the prefix is their application_name."""
    return Names(f"circus.{emission.prefix or 'app'}.watcher.", _tags(emission))


def _tags(emission: Emission) -> str:
    return f"|#{','.join(emission.tags)}" if emission.tags else ""


def _word(name: str) -> str:
    return re.sub(r"[^\w-]", "_", name)


def of_app(names: Names, before: Counters, now: AppFigures, backlog: int | None = None) -> Iterator[str]:
    """Yield what an application has counted since `before`, and how many workers it has; in how long a queue
    connections wait, where that is known."""
    counters = now.counters

    def grown(count: Count) -> int:
        return max(0, counters[count] - before[count])

    if grown(Count.REQUESTS):
        yield names.line("requests", grown(Count.REQUESTS), "c")
    for name, count in _CLASSES:
        if grown(count):
            yield names.line(f"request.status.{name}", grown(count), "c")
    for bucket, number in enumerate(histogram.since(before[LATENCIES], counters[LATENCIES])):
        if number:
            rate = f"|@{1 / number!r}" if number > 1 else ""
            took = f"{histogram.middle(bucket) * 1000:.6g}"
            yield names.line("request.duration", took, f"ms{rate}")
    yield names.line("workers", now.workers, "g")
    if backlog is not None:
        yield names.line("backlog", backlog, "h")


def of_watcher(
    names: Names, watcher: str, before: WatcherTally, now: WatcherTally, figures: Sequence[Figure]
) -> Iterator[str]:
    """Yield what a watcher has gone through since `before`, and what its processes use."""
    word = _word(topic_word(watcher))
    events = (
        ("spawn", now.starts - before.starts),
        ("reap", sum(now.exits.values()) - sum(before.exits.values())),
        ("reload", now.reloads - before.reloads),
    )
    for event, count in events:
        if count > 0:
            yield names.line(f"{word}.{event}", count, "c")
    yield names.line(f"_stats.{word}.spawn_count", now.starts, "g")
    yield names.line(f"_stats.{word}.watchers_num", len(figures), "g")
    for name, key in (("cpu", "cpu"), ("mem_pct", "mem"), ("mem", "rss")) if figures else ():
        amounts = [amount for one in figures if isinstance(amount := one[key], int | float)]
        yield names.line(f"_stats.{word}.{name}_max", max(amounts), "g")
        yield names.line(f"_stats.{word}.{name}_sum", round(sum(amounts), 3), "g")


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
