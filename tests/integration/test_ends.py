# The ends of watchers: hooks that belong to them, and what the end of a critical one means.

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from bigtop.launch.run.critical import Critical
from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.spec import Lifetime
from tests.support.site import until
from tests.support.stack import Stack

HOOKED = """
[watcher.a]
cmd = "sleep 1000"
graceful_timeout = 1
hooks.after_stop = "!sleep 0.4; touch {folder}/done"
"""
CRITICAL = """
[watcher.a]
cmd = "CMD"
critical = true
EXTRA

[watcher.b]
cmd = "sleep 1000"
"""


@pytest.mark.case("B5")
@pytest.mark.parametrize("how", ["TERM", "quit", "stop", "rm"])
def test_hooks_at_the_end_are_waited_for(how: str) -> None:
    with Stack(HOOKED) as stack:
        stack.wait_for("a: started")
        if how == "TERM":
            os.kill(stack.pid, signal.SIGTERM)
        else:
            stack.ctl(how, *(["a"] if how in ("stop", "rm") else []), "--waiting")
        if how in ("TERM", "quit"):
            assert stack.process.wait(30) == 0
        assert (stack.folder / "done").exists()
        assert "Traceback" not in stack.log()


@pytest.mark.case("B5")
def test_a_hook_at_the_end_has_a_limit_and_a_second_signal_ends_it() -> None:
    with Stack(HOOKED.replace("sleep 0.4;", "sleep 1000;")) as stack:
        stack.wait_for("a: started")
        os.kill(stack.pid, signal.SIGTERM)
        stack.wait_for("a: stopped")
        assert stack.process.poll() is None
        time.sleep(0.4)  # two signals that come together are one
        os.kill(stack.pid, signal.SIGTERM)
        assert stack.process.wait(30) == 0
        assert "Traceback" not in stack.log()


@pytest.mark.case("B9")
@pytest.mark.parametrize(
    ("cmd", "extra", "status"),
    [
        ("exit 7", "respawn = 'no'", 7),
        ("exit 0", "respawn = 'no'", 0),
        ("kill -KILL $$", "respawn = 'no'", 137),
        ("exit 3", "numprocesses = 2\nrespawn = 'no'", 3),
        ("exit 0", "respawn = 'unexpected'", 0),
        ("exit 5", "max_retry = 0\nflapping.attempts = 0", 5),
        ("exit 0", "max_retry = 0\nflapping.attempts = 0", 1),
    ],
)
def test_the_end_of_a_critical_watcher_is_the_end(cmd: str, extra: str, status: int) -> None:
    text = CRITICAL.replace("CMD", cmd).replace("EXTRA", f"shell = true\n{extra}")
    stack = Stack(text)
    stack.start()
    try:
        assert stack.process.wait(30) == status, stack.log()
        assert f"a is critical and has ended: everything stops, with status {status}" in stack.log()
        assert "b: stopped" in stack.log()
    finally:
        stack._end()


@pytest.mark.case("B9")
def test_an_operator_may_stop_a_critical_watcher() -> None:
    with Stack(CRITICAL.replace("CMD", "sleep 1000").replace("EXTRA", "")) as stack:
        stack.wait_for("a: started")
        stack.ctl("stop", "a", "--waiting")
        assert stack.status("b") == "active"


@pytest.mark.case("B9")
def test_what_failed_before_a_start_is_not_the_status_of_the_end() -> None:
    critical, lifetime = Critical(), Lifetime(critical=True)
    failed = messages.Reaped(1, 1, 4711, messages.ExitStatus(code=7))
    for notice in (failed, messages.Started()):
        assert not critical.is_over("a", lifetime, notice)
    assert critical.is_over("a", lifetime, messages.Finished())
    assert critical.status == 0


REFUSALS = [
    ("said.nothing", "refused: it returned None"),
    ("said.no", "refused: it returned False"),
    ("said.broken", "failed: ZeroDivisionError: in a hook"),
    ("!exit 3", "refused: it ended with exit status 3"),
]


@pytest.mark.case("B14")
@pytest.mark.parametrize("hook", ["before_start", "after_start", "before_spawn", "after_spawn"])
def test_a_refusal_is_told_to_the_log_and_to_whoever_waits(hook: str) -> None:
    text = "".join(
        f'[watcher.w{number}]\ncmd = "sleep 1000"\ngraceful_timeout = 1\nautostart = false\n'
        f'hooks.{hook} = "{target}"\n'
        for number, (target, _) in enumerate(REFUSALS)
    )
    stack = Stack(text)
    (stack.folder / "said.py").write_text(
        "def nothing(**facts): pass\ndef no(**facts): return False\n"
        "def broken(**facts): raise ZeroDivisionError('in a hook')\n"
    )
    stack.env["PYTHONPATH"] += f":{stack.folder}"
    with stack:
        for number, (_, reason) in enumerate(REFUSALS):
            told = stack.ctl("start", f"w{number}", "--waiting", status=1)
            assert f"the hook {hook} {reason}" in told
            assert "overtook" not in told
            stack.wait_for(f"w{number}: hook {hook} {reason}")


@pytest.mark.case("B18")
def test_hooks_are_told_the_time_of_the_day() -> None:
    text = '[watcher.a]\ncmd = "sleep 1000"\nhooks.before_reap = "!echo $BIGTOP_TIME >{folder}/time"\n'
    with Stack(text) as stack:
        stack.wait_for("a: started")
        file: Path = stack.folder / "time"
        stack.ctl("stop", "a", "--waiting")
        until(lambda: file.exists() and file.read_text(), "the time")
        assert abs(time.time() - float(file.read_text())) < 60
