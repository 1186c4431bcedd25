# Looks at real processes, with the times of two looks as they are told.

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from bigtop.stats.processes.process_looks import OWN, ProcessLooks, Told
from bigtop.stats.roster import Group, Process, Roster
from tests.support.site import until

PARENT = "import subprocess as s; c = s.Popen(['sleep', '600']); print(c.pid, flush=True); c.wait()"


@pytest.fixture
def parent() -> Iterator[tuple[int, int]]:
    """A process, and its child."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as process:
        assert process.stdout
        child = int(process.stdout.readline())
        yield process.pid, child
        os.kill(child, 9)
        process.kill()


def roster(*pids: int) -> Roster:
    groups = (Group("w", tuple(Process(pid, wid) for wid, pid in enumerate(pids, 1))),) if pids else ()
    return Roster(1, ((os.getpid(), "circusd"),), groups)


def by_part(told: Iterator[Told]) -> dict[tuple[str, int | None], Told]:
    return {(one.name, one.part): one for one in told}


def test_all_of_a_watcher_and_of_bigtop_itself(parent: tuple[int, int]) -> None:
    pid, _child = parent
    found = by_part(ProcessLooks(10.0).look(roster(pid), 100.0, 1e9))
    assert set(found) == {("w", pid), ("w", None), (OWN, os.getpid()), (OWN, None)}
    assert found["w", pid].figure["wid"] == 1
    assert found["w", pid].figure["tree"]["processes"] == 2  # type: ignore[index]
    assert found["w", None].figure["time"] == 1e9
    assert found[OWN, os.getpid()].figure["name"] == "circusd"
    assert "tree" not in found[OWN, os.getpid()].figure


def test_a_child_that_is_a_process_of_a_watcher_is_not_counted_twice(parent: tuple[int, int]) -> None:
    pid, child = parent
    found = by_part(ProcessLooks(10.0).look(roster(pid, child), 100.0, 1e9))
    assert found["w", None].figure["tree"]["processes"] == 2  # type: ignore[index]
    assert found["w", pid].figure["tree"]["processes"] == 1  # type: ignore[index]


def test_who_waits_for_his_turn_is_told_of_all_the_time_since_the_last_one(parent: tuple[int, int]) -> None:
    pid, _child = parent
    looks = ProcessLooks(1000.0)
    assert ("w", pid) in by_part(looks.look(roster(pid), 100.0, 1e9, {"w", OWN}))
    for at in (101.0, 102.0, 103.0):
        found = by_part(looks.look(roster(pid), at, 1e9, {OWN}))
        assert set(found) == {(OWN, os.getpid()), (OWN, None)}
    burnt = _burn(0.2)
    own = by_part(looks.look(roster(pid), 104.0, 1e9, ()))
    assert own == {}
    found = by_part(looks.look(roster(pid), 105.0, 1e9, {"w", OWN}))
    assert found["w", pid].figure["tree"]["processes"] == 2  # type: ignore[index]
    assert found["w", pid].figure["cpu"] == 0.0
    # Told of last at 103: what was used since is that of two seconds.
    cpu = found[OWN, os.getpid()].figure["cpu"]
    assert isinstance(cpu, float)
    assert cpu >= 100 * burnt / 2 - 1


def _burn(seconds: float) -> float:
    """Use the CPU for so long; return how long it was."""
    begun = time.process_time()
    while (used := time.process_time() - begun) < seconds:
        pass
    return used


def test_who_was_a_stranger_may_be_ours_later(parent: tuple[int, int]) -> None:
    pid, child = parent
    looks = ProcessLooks(10.0)
    for at in (100.0, 101.0, 102.0):
        assert ("w", pid) not in by_part(looks.look(roster(), at, 1e9))
    assert ("w", child) in by_part(looks.look(roster(child), 103.0, 1e9))


def test_one_that_slept_is_older_and_else_the_same(parent: tuple[int, int]) -> None:
    _pid, child = parent
    looks = ProcessLooks(1000.0)

    def slept() -> bool:
        told = by_part(looks.look(roster(child), looks_at(), 1e9 + looks_at()))["w", child]
        if told.text:
            assert json.loads(told.text) == told.figure
        return bool(told.text)

    clock = iter(range(100, 10_000))

    def looks_at() -> float:
        return float(next(clock))

    until(slept, "a look at one that slept")


def test_nobody_is_told_of_the_dead(parent: tuple[int, int]) -> None:
    pid, child = parent
    dead = subprocess.Popen(["true"])
    dead.wait()
    looks = ProcessLooks(10.0)
    assert not looks.has_looked
    found = by_part(looks.look(roster(dead.pid), 100.0, 1e9))
    assert set(found) == {(OWN, os.getpid()), (OWN, None)}
    assert looks.has_looked
    looks.forget()
    assert not looks.has_looked
    assert ("w", child) in by_part(looks.look(roster(pid, child), 200.0, 1e9))
