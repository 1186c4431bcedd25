# What watchers use, as metrics: shares of the memory are read before they are asked for.

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from bigtop.stats.export import metrics
from bigtop.stats.export.consumption import _FEW, Consumption
from bigtop.stats.roster import Group, Process, Roster


@pytest.fixture
def sleepers() -> Iterator[list[int]]:
    processes = [subprocess.Popen(["sleep", "600"]) for _ in range(_FEW + 5)]
    yield [process.pid for process in processes]
    for process in processes:
        process.kill()
        process.wait()


def told(consumption: Consumption, pids: list[int]) -> dict[tuple[str, ...], float]:
    """Return what is told of a watcher with these processes, by metric and kind."""
    group = Group("w", tuple(Process(pid, wid) for wid, pid in enumerate(pids, 1)))
    found = {}
    for sample in consumption.look(Roster(1, (), (group,))):
        assert isinstance(sample.value, int | float)
        found[(sample.metric.name, *sample.labels[1:])] = sample.value
    return found


PSS = (metrics.MEMORY.name, "pss")
RSS = (metrics.MEMORY.name, "rss")


def test_of_few_processes_shares_are_known_at_once(sleepers: list[int]) -> None:
    found = told(Consumption(), sleepers[:_FEW])
    assert 0 < found[PSS] <= found[RSS]
    assert found[metrics.CPU.name,] >= 0


def test_of_many_they_are_known_at_the_second_look(sleepers: list[int]) -> None:
    consumption = Consumption()
    assert PSS not in told(consumption, sleepers)
    consumption.prepare()
    found = told(consumption, sleepers)
    assert 0 < found[PSS] <= found[RSS]


def test_what_is_gone_stays_counted(sleepers: list[int]) -> None:
    consumption = Consumption()
    before = told(consumption, sleepers)
    after = told(consumption, sleepers[1:])
    assert after[metrics.CPU.name,] >= before[metrics.CPU.name,]
    assert after[RSS] < before[RSS]
