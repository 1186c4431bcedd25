# What is known of one supervisor: replies and messages in, figures out.

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.stats.processes.samples import human_size
from bigtop.top.model import node as known
from bigtop.top.model.node import Node
from tests.support.overview import AT, counts, figure, node, overview, process, watcher


def test_messages_are_kept_by_what_they_are_about() -> None:
    made = node()
    assert made.processes[11]["cpu"] == 30.0
    assert made.watchers["web_one"]["tree"]["cpu"] == 33.0
    assert made.counts["web_one"]["busy"] == 1
    assert made.sockets[7]["accepted"] == 90
    assert [(one.watcher, one.name, one.about) for one in made.events] == [
        ("web_one", "died", "wid=2 exit_code=-9")
    ]
    assert made.is_complete()


@pytest.mark.parametrize("topic", ["stat.sockets", "stat.sockets.x", "stat.web.x", "history.web", "x", ""])
def test_other_messages_are_for_others(topic: str) -> None:
    made = Node("site")
    made.measure(topic, figure(), AT)
    assert not any((made.processes, made.watchers, made.counts, made.sockets))


def test_figures_go_with_what_they_are_of() -> None:
    made = node()
    made.hear(overview(watcher("mail", [process(21, 1)], "command"), sockets=[]), [], 101.0)
    assert set(made.processes) == {1, 2, 21}
    assert set(made.watchers) == {"mail"}
    assert not any((made.counts, made.sockets))
    assert set(made.trends) == {""}


def test_figures_from_another_place_begin_anew() -> None:
    made = node()
    made.begin("control channel", is_poor=True)
    assert not any((made.processes, made.watchers, made.counts, made.sockets))
    assert made.source == "control channel"


def test_it_is_complete_when_there_is_a_figure_for_each_process_and_application() -> None:
    made = Node("site")
    assert not made.is_complete()
    made.hear(overview(watcher("web", [process(11, 1), process(None, 2, "starting")])), [], 1.0)
    assert not made.is_complete()  # nobody said where figures come from
    made.begin("stats process")
    assert not made.is_complete()
    made.measure("stat.web.11", figure(), AT)
    assert not made.is_complete()
    made.measure("http.web", counts(rate=None), AT)
    assert not made.is_complete()
    made.measure("http.web", counts(rate=0.0), AT)
    assert made.is_complete()


def test_poor_figures_are_complete_without_those_of_requests() -> None:
    made = Node("site")
    made.begin("control channel", is_poor=True)
    made.hear(overview(watcher("web", [process(11, 1)])), [], 1.0)
    made.measure_all(
        {"web": {"11": {"cpu": 3.0, "mem_info1": "1.50M"}, "12": "No such process (stopped?)"}}, AT
    )
    assert made.is_complete()
    assert made.processes == {11: {"cpu": 3.0, "mem_info1": "1.50M", "rss": 1572864}}


def test_the_trend_of_all_is_the_sum_of_the_last_of_each() -> None:
    made = Node("site")
    made.hear(overview(watcher("a"), watcher("b"), watcher("c", kind="command")), [], 1.0)
    made.measure("http.a", counts(rate=None), AT)  # the first look has no rate
    made.measure("http.b", counts(rate=None), AT)
    for first, second in ((1.0, 2.0), (3.0, 4.0)):
        made.measure("http.a", counts(rate=first), AT)
        made.measure("http.b", counts(rate=second), AT)
    assert list(made.trends["a"]) == [1.0, 3.0]
    assert list(made.trends[""]) == [3.0, 7.0]


def test_silence_is_since_the_last_answer() -> None:
    made = Node("site")
    assert made.silence(500.0) == 0
    made.hear(overview(), [], 100.0)
    assert made.silence(103.5) == 3.5
    made.lose("no reply within 5 s")
    assert made.trouble
    made.hear(overview(), [], 104.0)
    assert not made.trouble


def test_staleness_is_since_the_last_figure() -> None:
    made = Node("site")
    assert made.staleness(500.0) == 0
    made.measure("stat.web.11", figure(), 100.0)
    assert made.staleness(103.5) == 3.5
    made.begin("another place")
    assert made.staleness(500.0) == 0


def test_restarts_are_endings_that_nobody_asked_for() -> None:
    exits = {"exit": 1, "error": 2, "signal": 4, "hung": 8, "stop": 100, "reload": 100, "max_requests": 100}
    assert known.restarts(watcher("web", exits=exits)) == 15


@given(st.integers(0, 2**60))
def test_sizes_are_read_as_they_are_written(count: int) -> None:
    found = known.size_of(human_size(count))
    assert found is not None
    assert abs(found - count) <= max(1, count * 0.006)


@pytest.mark.parametrize("text", [None, 3, "", "M", "N/A", "x M", "1.0X"])
def test_what_is_no_size_is_not_known(text: object) -> None:
    assert known.size_of(text) is None


def test_p99_is_that_of_ten_seconds() -> None:
    assert known.p99(counts(p99=0.25)) == 0.25
    assert known.p99(counts(p99=None)) is None
    assert known.p99({}) is None
    assert known.p99({"windows": {}}) is None
    assert known.p99({"windows": None}) is None


def test_a_sum_is_one_of_what_is_known() -> None:
    assert known.total(iter([1.0, None, 2.0])) == 3.0
    assert known.total(iter([None])) is None
    assert known.total(iter([])) is None
