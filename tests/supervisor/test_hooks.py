# Hooks with a supervisor and real processes around them.

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.spec import Hook, StopPolicy
from tests.support.pool_harness import lives, until
from tests.support.supervisor_harness import SupervisorHarness, perform, watcher

NAMES = (
    "before_start",
    "after_start",
    "before_spawn",
    "after_spawn",
    "before_stop",
    "after_stop",
    "before_signal",
    "after_signal",
    "before_reap",
    "after_reap",
)


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "calls"
    path.touch()
    monkeypatch.setenv("HOOKS_FILE", str(path))
    return path


def hook(name: str, target: str, **more: Any) -> Hook:
    return Hook(name, target if target.startswith("!") else f"tests.apps.hooks.{target}", **more)


@pytest.mark.parametrize("target", ["yes", "later"])
def test_all_are_called_in_their_order(target: str, calls: Path):
    async def play(harness: SupervisorHarness) -> None:
        harness.supervisor.start("web")
        await harness.supervisor.settled("web")
        (pid,) = harness.pids("web")
        await until(lambda: len(calls.read_text().splitlines()) == 4, "the hooks of the start")
        harness.supervisor.stop("web")
        await harness.supervisor.settled("web")
        await until(lambda: len(calls.read_text().splitlines()) == len(NAMES), "all hooks")
        lines = calls.read_text().splitlines()
        assert lines[:2] == ["before_start web", "before_spawn web"]
        assert {*lines[2:4]} == {"after_start web", f"after_spawn web pid={pid}"}
        assert lines[4:6] == ["before_stop web", f"before_signal web pid={pid} signum=15"]
        assert {*lines[6:]} == {
            f"after_signal web pid={pid} signum=15",
            f"before_reap web process_pid={pid}",
            f"after_reap web exit_code=-15 process_pid={pid} process_status=-15",
            "after_stop web",
        }
        assert all(not notice.error for notice in harness.of(messages.HookRan))

    perform(play, watcher("web", hooks=tuple(hook(name, target) for name in NAMES)))


@pytest.mark.parametrize(
    ("target", "ignore", "starts"),
    [("no", False, False), ("broken", False, False), ("broken", True, True), ("no", True, False)],
)
def test_before_start_decides(target: str, ignore: bool, starts: bool, calls: Path):
    async def play(harness: SupervisorHarness) -> None:
        harness.supervisor.start("web")
        await harness.supervisor.settled("web")
        assert harness.status("web") == ("active" if starts else "stopped")
        errors = [notice.error for notice in harness.of(messages.HookRan)]
        assert errors == (["ZeroDivisionError: in a hook"] if target == "broken" else [""])

    perform(play, watcher("web", hooks=(hook("before_start", target, ignore_failure=ignore),)))


@pytest.mark.parametrize("name", ["before_spawn", "after_spawn", "after_start"])
def test_a_refusal_stops_the_watcher(name: str, calls: Path):
    async def play(harness: SupervisorHarness) -> None:
        harness.supervisor.start("web")
        await until(lambda: harness.of(messages.Stopped), "the stop")
        await harness.supervisor.settled("web")
        assert harness.status("web") == "stopped"
        assert bool(harness.of(messages.Born)) == (name != "before_spawn")

    perform(play, watcher("web", hooks=(hook(name, "no"),)))


def test_a_signal_that_is_refused_is_not_sent_but_time_runs_out(calls: Path):
    async def play(harness: SupervisorHarness) -> None:
        harness.supervisor.start("web")
        await harness.supervisor.settled("web")
        harness.supervisor.stop("web")
        await harness.supervisor.settled("web")
        assert harness.of(messages.Reaped)[0].status == messages.ExitStatus(signal=signal.SIGKILL)
        assert signal.SIGTERM not in [notice.signum for notice in harness.of(messages.Signalled)]

    perform(play, watcher("web", hooks=(hook("before_signal", "no"),), stop=StopPolicy(graceful_timeout=0.3)))


def test_one_that_hangs_delays_only_what_waits_for_it():
    """In Circus a slow hook freezes everything."""

    async def play(harness: SupervisorHarness) -> None:
        began = time.monotonic()
        harness.supervisor.start()
        await harness.up("other")
        await harness.supervisor.settled("web")
        assert time.monotonic() - began < 30
        assert harness.status("web") == "stopped"
        assert harness.of(messages.HookRan, "web")[0].error == "no answer after 0.2 seconds"

    perform(play, watcher("web", hooks=(hook("before_start", "stuck", timeout=0.2),)), watcher("other"))


def test_a_stop_wins_over_a_hook_that_still_thinks():
    async def play(harness: SupervisorHarness) -> None:
        harness.supervisor.start("web")
        await asyncio.sleep(0)
        harness.supervisor.stop("web")
        await until(lambda: harness.of(messages.HookRan), "the answer")
        await harness.supervisor.settled("web")
        assert harness.status("web") == "stopped"
        assert not harness.of(messages.Born)

    perform(play, watcher("web", hooks=(hook("before_start", "!sleep 0.1"),)))


def test_commands_are_hooks_too(tmp_path: Path):
    file = tmp_path / "env"
    target = f"!echo $BIGTOP_HOOK $BIGTOP_WATCHER $BIGTOP_PID > {file}; exit 3"

    async def play(harness: SupervisorHarness) -> None:
        harness.supervisor.start("web")
        await until(lambda: harness.of(messages.Stopped), "the stop: exit status 3 is a refusal")
        pid = harness.of(messages.Born)[0].pid
        assert file.read_text() == f"after_spawn web {pid}\n"
        assert not lives(pid)

    perform(play, watcher("web", hooks=(hook("after_spawn", target),)))


def test_a_restart_asks_before_anything_is_stopped(calls: Path):
    async def play(harness: SupervisorHarness) -> None:
        harness.supervisor.start("web")
        await harness.supervisor.settled("web")
        (pid,) = harness.pids("web")
        harness.supervisor.restart("web")
        await until(lambda: not lives(pid), "the stop")
        await harness.supervisor.settled("web")
        assert harness.status("web") == "active"
        assert [line.split()[0] for line in calls.read_text().splitlines()] == ["before_start"] * 2

    perform(play, watcher("web", hooks=(hook("before_start", "yes"),)))
