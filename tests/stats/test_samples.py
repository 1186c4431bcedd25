# Figures from samples: what one process used between two of them, and what is made of many.

from __future__ import annotations

import pytest
from circus.stats.collector import WatcherStatsCollector
from hypothesis import given
from hypothesis import strategies as st

from bigtop.stats.processes import samples
from bigtop.stats.processes.procfs import Machine, ProcessStat
from bigtop.stats.processes.samples import Details, Use

MACHINE = Machine(booted=1000.0, memory=1 << 30)


def facts(pid: int, parent: int = 1, cpu: float = 0.0, born: int = 500) -> ProcessStat:
    return ProcessStat(pid, parent, cpu, nice=0, born=born, vms=1 << 21, rss=1 << 20, threads=2)


def use(pid: int, cpu: float = 0.0, **known: int) -> Use:
    return Use(facts(pid), cpu, Details("nobody", "x", **known))


@pytest.mark.parametrize(
    ("before", "after", "seconds", "share"),
    [
        (facts(2, cpu=1.0), facts(2, cpu=1.5), 1.0, 50.0),
        (facts(2, cpu=1.0), facts(2, cpu=5.0), 2.0, 200.0),  # of two threads
        (facts(2, cpu=1.0), facts(2, cpu=1.0), 1.0, 0.0),
        (None, facts(2, cpu=9.0), 1.0, 0.0),
        (facts(2, cpu=9.0, born=1), facts(2, cpu=10.0, born=2), 1.0, 0.0),  # another one of this number
        (facts(2, cpu=1.0), facts(2, cpu=1.5), 0.0, 0.0),
    ],
)
def test_the_share_of_the_cpu(
    before: ProcessStat | None, after: ProcessStat, seconds: float, share: float
) -> None:
    assert samples.share(before, after, seconds) == share


def test_one_process_has_what_circus_tells_of_it() -> None:
    figure = samples.of_process(use(7, 12.5), MACHINE, now=1010.0)
    assert figure == {
        "mem_info1": "1.00M",
        "mem_info2": "2.00M",
        "cpu": 12.5,
        "mem": 0.098,
        "ctime": "0:00.00",
        "pid": 7,
        "username": "nobody",
        "nice": 0,
        "create_time": 1005.0,
        "age": 5.0,
        "cmdline": "x",
        "children": [],
    }


AMOUNT = st.floats(0, 1000) | st.just("N/A")
FIGURE = st.fixed_dictionaries({"cpu": AMOUNT, "mem": AMOUNT, "age": AMOUNT})


@given(st.lists(FIGURE, max_size=5))
def test_a_watcher_is_what_circusd_stats_makes_of_its_processes(
    figures: list[dict[str, float | str]],
) -> None:
    by_pid = {pid: {**figure, "pid": pid} for pid, figure in enumerate(figures)}
    assert samples.of_watcher(by_pid.values()) == WatcherStatsCollector._aggregate(None, by_pid)


def test_a_tree_is_the_sum_and_what_is_not_known_of_one_is_not_known_of_all() -> None:
    assert samples.of_tree([use(1, 1.5, pss=10, fds=3), use(2, 2.0, pss=5)]) == {
        "processes": 2,
        "cpu": 3.5,
        "rss": 2 << 20,
        "pss": 15,
        "swap": None,
        "threads": 4,
        "fds": None,
        "read_bytes": None,
        "write_bytes": None,
    }


def test_whose_descendants_are_whose() -> None:
    table = {one.pid: one for one in (facts(10), facts(11, 10), facts(12, 11), facts(20, 10), facts(21, 20))}
    children = samples.children_of(table)
    assert {one.pid for one in samples.below(10, children, frozenset())} == {11, 12, 20, 21}
    # 20 is a process of another watcher
    assert {one.pid for one in samples.below(10, children, frozenset({10, 20}))} == {11, 12}
    assert samples.below(12, children, frozenset()) == []


def test_a_table_that_was_read_while_processes_came_and_went_has_no_end_all_the_same() -> None:
    children = samples.children_of({1: facts(1, 2), 2: facts(2, 1)})
    assert {one.pid for one in samples.below(1, children, frozenset())} == {2}
