"""Figures as statsd takes them."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.ipc import histogram
from bigtop.ipc.counters import LATENCIES, NONE, Count
from bigtop.stats.figures import AppFigures
from bigtop.stats.statsd import PACKET, lines, packets

LINE = re.compile(
    r"(?P<name>[\w.]+):(?P<value>[\d.e+-]+)\|(?P<kind>c|ms|g)(\|@(?P<rate>[\d.e-]+))?(\|#(?P<tags>.+))?"
)


def figures(*times, **counts):
    row = list(NONE)
    for name, value in counts.items():
        row[Count[name]] = value
    for time in times:
        row[LATENCIES.start + histogram.bucket_of(time)] += 1
    return AppFigures(row, workers=4, busy=0, waiting=0)


def test_names_and_kinds_are_those_of_gunicorn():
    now = figures(10**7, REQUESTS=1, STATUS_2XX=1)
    assert list(lines(NONE, now)) == [
        "gunicorn.requests:1|c",
        "gunicorn.request.status.2xx:1|c",
        "gunicorn.request.duration:9.63882|ms",  # the middle of its bucket
        "gunicorn.workers:4|g",
    ]


def test_only_what_is_new_is_sent():
    before = figures(10**7, REQUESTS=5, STATUS_2XX=4, STATUS_5XX=1)
    now = figures(10**7, REQUESTS=8, STATUS_2XX=7, STATUS_5XX=1)
    assert list(lines(before.counters, now)) == [
        "gunicorn.requests:3|c",
        "gunicorn.request.status.2xx:3|c",
        "gunicorn.workers:4|g",
    ]


@pytest.mark.parametrize("prefix", ["shop", "shop."])
def test_prefix_and_tags(prefix):
    (line,) = lines(NONE, figures(), prefix, ("env:live", "zone:b"))
    assert line == "shop.gunicorn.workers:4|g|#env:live,zone:b"


@given(st.lists(st.integers(0, 10**12), max_size=300))
def test_times_are_told_with_how_many_they_are(times):
    read = [LINE.fullmatch(line) for line in lines(NONE, figures(*times))]
    assert all(read)
    durations = [found for found in read if found["kind"] == "ms"]
    told = sum(1 / float(found["rate"] or 1) for found in durations)
    assert told == pytest.approx(len(times))


@given(st.lists(st.text("abc", min_size=1, max_size=200)))
def test_packets_hold_every_line_and_are_short(some):
    made = list(packets(some))
    assert [line for packet in made for line in packet.decode().split("\n")] == some
    assert all(len(packet) <= PACKET for packet in made)
    for one, other in pairwise(made):  # the next line had no room
        assert len(one) + 1 + len(other.split(b"\n")[0]) > PACKET


def test_a_line_that_is_too_long_goes_alone():
    assert [len(packet) for packet in packets(["a", "b" * 2000, "c"])] == [1, 2000, 1]
