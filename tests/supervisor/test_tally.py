# What a supervisor counts of its processes: how often they started and ended, why, and how reloads went.

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from bigtop.http.paths.time_limits import TimeoutAction
from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.messages import Ending, ExitStatus, Urgency
from bigtop.supervisor.policy.processtable import Proc, ending
from bigtop.supervisor.policy.tally import Tally
from tests.support.pool_harness import command, until
from tests.support.supervisor_harness import SupervisorHarness, perform, watcher

OK, FAILED, KILLED = ExitStatus(code=0), ExitStatus(code=3), ExitStatus(signal=9)


@pytest.mark.parametrize(
    ("changes", "status", "expected"),
    [
        ({}, OK, Ending.EXIT),
        ({}, FAILED, Ending.ERROR),
        ({}, KILLED, Ending.SIGNAL),
        ({}, ExitStatus(signal=9, out_of_memory="the kernel was"), Ending.OOM),
        ({"retiring": Ending.MAX_RSS}, KILLED, Ending.SIGNAL),  # before its successor was there
        ({"asked": Urgency.GRACEFUL}, OK, Ending.STOP),
        ({"asked": Urgency.NOW}, KILLED, Ending.STOP),
        ({"asked": Urgency.GRACEFUL, "generation": 1}, OK, Ending.RELOAD),
        ({"asked": Urgency.GRACEFUL, "generation": 1}, KILLED, Ending.RELOAD),  # it did not end in time
        ({"asked": Urgency.GRACEFUL, "retiring": Ending.MAX_AGE}, OK, Ending.MAX_AGE),
    ],
)
def test_why_a_process_is_gone(changes: dict[str, object], status: ExitStatus, expected: Ending) -> None:
    proc = Proc(1, 1, 2, 0.0, 0.0)
    for name, value in changes.items():
        setattr(proc, name, value)
    assert ending(proc, status, generation=2) is expected


def test_what_hung_ended_because_of_that() -> None:
    tally = Tally()
    tally.hear("web", messages.Report(7, "GET / for 30 s"), 0)
    tally.hear("web", messages.Report(7, "GET / for 38 s", TimeoutAction.RETIRE), 0)
    tally.hear("web", messages.Report(8, "GET / for 30 s"), 0)  # which was interrupted
    tally.hear("web", messages.Reaped(7, 1, 70, KILLED, "", Ending.STOP), 0)
    tally.hear("web", messages.Reaped(8, 1, 71, KILLED, "", Ending.SIGNAL), 0)
    assert tally.of("web").exits == {Ending.HUNG: 1, Ending.SIGNAL: 1}


def test_reloads() -> None:
    tally = Tally()
    tally.hear("web", messages.Reloaded(2), 1000.0)
    tally.hear("web", messages.ReloadFailed(3, 2, "no"), 2000.0)
    web = tally.of("web")
    assert (web.reloads, web.failed_reloads, web.reloaded_at, web.generation) == (1, 1, 1000.0, 2)


def test_a_watcher_that_is_not_known_any_more_has_no_numbers() -> None:
    tally = Tally()
    tally.hear("web", messages.Born(1, 1, 70), 0)
    assert tally.of("web").starts == 1
    tally.hear("web", messages.Removed(), 0)
    assert tally.of("web").starts == 0


def test_of_real_processes(tmp_path: Path) -> None:
    async def play(harness: SupervisorHarness) -> None:
        supervisor = harness.supervisor
        tally = supervisor.tally.of("web")
        supervisor.start("web")
        await supervisor.settled("web")
        os.kill(harness.pids("web")[0], signal.SIGKILL)
        await until(lambda: tally.exits[Ending.SIGNAL] == 1, "the death")
        await until(lambda: len(harness.pids("web")) == 2, "the successor")
        began = time.time()
        supervisor.reload("web")
        await supervisor.settled("web")
        assert (tally.starts, tally.exits[Ending.RELOAD], tally.reloads) == (5, 2, 1)
        assert began <= tally.reloaded_at <= time.time()
        supervisor.stop("web")
        await supervisor.settled("web")
        assert tally.exits == {Ending.SIGNAL: 1, Ending.RELOAD: 2, Ending.STOP: 2}

    perform(play, watcher("web", numprocesses=2))


def test_of_processes_that_end_by_themselves() -> None:
    async def play(harness: SupervisorHarness) -> None:
        exits = harness.supervisor.tally.of("web").exits
        harness.supervisor.start("web")
        await until(lambda: exits[Ending.ERROR] == 1, "its end")

    perform(play, watcher("web", command("raise SystemExit(3)")))
