"""Figures as statsd takes them."""

import datetime
import re
import socket
import types
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.emission import Emission
from bigtop.ipc import histogram
from bigtop.ipc.counters import LATENCIES, NONE, Count
from bigtop.stats.export.statsd import PACKET, of_app, of_circus, of_gunicorn, of_watcher, packets
from bigtop.stats.figures import AppFigures
from bigtop.supervisor.policy.messages import Ending
from bigtop.supervisor.policy.tally import WatcherTally

LINE = re.compile(
    r"(?P<name>[\w.-]+):(?P<value>[\d.e+-]+)\|(?P<kind>c|ms|g|h)(\|@(?P<rate>[\d.e-]+))?(\|#(?P<tags>.+))?"
)
WHERE = ("127.0.0.1", 8125)
GUNICORN = of_gunicorn(Emission(WHERE), "shop")


def figures(*times, **counts):
    row = list(NONE)
    for name, value in counts.items():
        row[Count[name]] = value
    for time in times:
        row[LATENCIES.start + histogram.bucket_of(time)] += 1
    return AppFigures(row, workers=4, busy=0, waiting=0)


def test_names_and_kinds():
    now = figures(10**7, REQUESTS=1, STATUS_2XX=1)
    assert list(of_app(GUNICORN, NONE, now, backlog=3)) == [
        "gunicorn.requests:1|c",
        "gunicorn.request.status.2xx:1|c",
        "gunicorn.request.duration:9.63882|ms",  # the middle of its bucket
        "gunicorn.workers:4|g",
        "gunicorn.backlog:3|h",
    ]


def test_they_are_those_of_gunicorn_itself():
    statsd = pytest.importorskip("gunicorn.instrument.statsd", reason="pip install gunicorn")
    from gunicorn.config import Config

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(30)
        config = Config()
        config.set("statsd_host", f"127.0.0.1:{server.getsockname()[1]}")
        config.set("statsd_prefix", "shop")
        config.set("dogstatsd_tags", "env:live,zone:b")
        theirs = statsd.Statsd(config)
        theirs.access(types.SimpleNamespace(status="200 OK"), None, {}, datetime.timedelta(milliseconds=10))
        theirs.info("", extra={"metric": "gunicorn.workers", "value": 4, "mtype": "gauge"})
        theirs.info("", extra={"metric": "gunicorn.backlog", "value": 3, "mtype": "histogram"})
        said = [LINE.fullmatch(server.recv(1000).decode()) for _ in range(5)]
        theirs.sock.close()
    emission = Emission(WHERE, "shop", ("env:live", "zone:b"))
    now = figures(10**7, REQUESTS=1, STATUS_2XX=1)
    ours = [LINE.fullmatch(line) for line in of_app(of_gunicorn(emission, "shop"), NONE, now, 3)]

    def kinds(lines):
        return {(line["name"].replace("200", "2xx"), line["kind"], line["tags"]) for line in lines}

    assert kinds(ours) == kinds(said)
    assert len(ours) == len(said)


def test_only_what_is_new_is_sent():
    before = figures(10**7, REQUESTS=5, STATUS_2XX=4, STATUS_5XX=1)
    now = figures(10**7, REQUESTS=8, STATUS_2XX=7, STATUS_5XX=1)
    assert list(of_app(GUNICORN, before.counters, now)) == [
        "gunicorn.requests:3|c",
        "gunicorn.request.status.2xx:3|c",
        "gunicorn.workers:4|g",
    ]


@pytest.mark.parametrize(
    ("emission", "line"),
    [
        (Emission(WHERE, "shop"), "shop.gunicorn.workers:4|g"),
        (Emission(WHERE, "a.b", ("env:live", "c")), "a.b.gunicorn.workers:4|g|#env:live,c"),
        (Emission(WHERE, has_names=True), "my_site_1.gunicorn.workers:4|g"),
        (Emission(WHERE, "a", has_names=True), "a.my_site_1.gunicorn.workers:4|g"),
    ],
)
def test_prefix_name_and_tags(emission, line):
    assert list(of_app(of_gunicorn(emission, "my.site:1"), NONE, figures())) == [line]


@given(st.lists(st.integers(0, 10**12), max_size=300))
def test_times_are_told_with_how_many_they_are(times):
    read = [LINE.fullmatch(line) for line in of_app(GUNICORN, NONE, figures(*times))]
    assert all(read)
    durations = [found for found in read if found["kind"] == "ms"]
    told = sum(1 / float(found["rate"] or 1) for found in durations)
    assert told == pytest.approx(len(times))


def test_names_of_circus():
    processes = [{"cpu": 1.5, "mem": 0.25, "rss": 1000}, {"cpu": 2.0, "mem": 0.5, "rss": 3000}]
    before = WatcherTally(2, Counter({Ending.EXIT: 1}), 1)
    now = WatcherTally(5, Counter({Ending.EXIT: 1, Ending.HUNG: 2}), 2)
    names = of_circus(Emission(WHERE, "site", dialect="circus"))
    assert list(of_watcher(names, "Two words", before, now, processes)) == [
        "circus.site.watcher.two_words.spawn:3|c",
        "circus.site.watcher.two_words.reap:2|c",
        "circus.site.watcher.two_words.reload:1|c",
        "circus.site.watcher._stats.two_words.spawn_count:5|g",
        "circus.site.watcher._stats.two_words.watchers_num:2|g",
        "circus.site.watcher._stats.two_words.cpu_max:2.0|g",
        "circus.site.watcher._stats.two_words.cpu_sum:3.5|g",
        "circus.site.watcher._stats.two_words.mem_pct_max:0.5|g",
        "circus.site.watcher._stats.two_words.mem_pct_sum:0.75|g",
        "circus.site.watcher._stats.two_words.mem_max:3000|g",
        "circus.site.watcher._stats.two_words.mem_sum:4000|g",
    ]
    names = of_circus(Emission(WHERE, dialect="circus"))
    assert list(of_watcher(names, "web", now, now, [])) == [
        "circus.app.watcher._stats.web.spawn_count:5|g",
        "circus.app.watcher._stats.web.watchers_num:0|g",
    ]


def test_circus_plugin_has_these_names():
    plugins = pytest.importorskip("circus.plugins.statsd", reason="pip install circus")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(30)
        place = {"host": "127.0.0.1", "port": server.getsockname()[1]}
        theirs = plugins.FullStats("tcp://127.0.0.1:1", "tcp://127.0.0.1:2", 5, None, **place)
        one = {"cpu": 2.0, "mem": 0.5, "mem_info1": "1K"}
        theirs.call = lambda _command: {"status": "ok", "infos": {"web": {"7": one, "spawn_count": 5}}}
        theirs.look_after()
        said = {server.recv(1000).decode().partition(":")[0] for _ in range(8)}
        theirs.statsd.stop()
    now = WatcherTally(5)
    process = {"cpu": 2.0, "mem": 0.5, "rss": 1024}
    lines = of_watcher(of_circus(Emission(WHERE, dialect="circus")), "web", now, now, [process])
    assert {line.partition(":")[0] for line in lines} == said


@given(st.lists(st.text("abc", min_size=1, max_size=200)))
def test_packets_hold_every_line_and_are_short(some):
    made = list(packets(some))
    assert [line for packet in made for line in packet.decode().split("\n")] == some
    assert all(len(packet) <= PACKET for packet in made)
    for one, other in pairwise(made):  # the next line had no room
        assert len(one) + 1 + len(other.split(b"\n")[0]) > PACKET


def test_a_line_that_is_too_long_goes_alone():
    assert [len(packet) for packet in packets(["a", "b" * 2000, "c"])] == [1, 2000, 1]
