# Every SIGKILL that Bigtop sends is a line in the log before it happens, with the reason.

from __future__ import annotations

import ast
import contextlib
import errno
import os
import re
import signal
from pathlib import Path

import psutil
import pytest

from bigtop.supervisor.policy.spec import Cgroup
from bigtop.supervisor.processes import cgroups, killing
from tests.support.site import ROOT, Site, until
from tests.support.stack import Stack
from tests.support.wire import Client, request

pytestmark = pytest.mark.case("B14")

# Who may name SIGKILL: to send it, or for the reason said here.
NAMED = {
    "supervisor/processes/killing.py": "the one place that sends it",
    "supervisor/processes/child.py": "a handler cannot be reset",
    "supervisor/processes/commands/launcher.py": "a handler cannot be reset",
    "supervisor/policy/watcher.py": "who is asked to leave by it, leaves at once",
    "supervisor/supervisor.py": "a client may send it, and the log says so",
    "launch/control/controlled.py": "a client may send it, and the log says so",
    "supervisor/processes/termination.py": "the stop signal may be that, and subscribers are told of it",
    "plugins/builtin/program.py": "a program that hangs, which the log of its plugin tells",
    "keeper/ordering/dns_hook.py": "a hook that took too long; that is the answer to who asked for it",
    "cluster/guard.py": "what a command to prepare left, or that took too long; its answer tells that",
    "system/kernel.py": "the kernel sends it to a child whose parent ended; a handler cannot be reset",
}


# Who may end an object of somebody else's with it, for the reason said here.
OBJECTS = {
    "launch/run/plugin_preflight.py": "a child that only looks at options, and took too long, which is told",
    "backends/ending.py": "a child of multiprocessing, which the log has named before",
    "top/own_stats.py": "a child of a command with no log, which was asked to end before",
}


def test_one_module_sends_sigkill() -> None:
    found = {}
    for path in (ROOT / "bigtop").rglob("*.py"):
        name = path.relative_to(ROOT / "bigtop").as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if getattr(node, "attr", getattr(node, "id", "")) == "SIGKILL":
                found[name] = "names it"
            assert not _kills_by_number(node), f"{name}: a kill that hides behind a number"
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Attribute) and called.attr == "kill" and not node.args:
                if name in OBJECTS:
                    found[name] = "kills an object"
                    continue
                raise AssertionError(f"{name}:{node.lineno}: kill() of a process that is somebody's object")
    assert found.keys() == NAMED.keys() | OBJECTS.keys()


def _kills_by_number(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(attr="kill" | "killpg" | "send_signal" | "pthread_kill"), args=args):
            return any(isinstance(word, ast.Constant) and word.value == signal.SIGKILL for word in args)
    return False


STUBBORN = "trap '' TERM; echo deaf; while :; do sleep 1; done"
FILE = f"""
[watcher.stubborn]
cmd = '''sh -c "{STUBBORN}"'''
ready = "log:deaf"
graceful_timeout = 0.3

[watcher.litter]
cmd = '''sh -c "(trap '' TERM; echo deaf; exec sleep 300) & exec sleep 300"'''
ready = "log:deaf"
graceful_timeout = 0.3

[watcher.rude]
cmd = "sleep 300"
stop_signal = "KILL"

[watcher.hooked]
cmd = "sleep 300"
hook_timeout = 0.3

[watcher.hooked.hooks]
after_start = "!sleep 300,yes"

[watcher.signalled]
cmd = "sleep 300"

[watcher.parent]
cmd = '''sh -c "sleep 300 & sleep 300 & wait; exec sleep 300"'''

[watcher.late]
cmd = "sleep 300"
ready = "file:{{folder}}/never"
boot_timeout = 0.3

[watcher.aged]
cmd = '''sh -c "{STUBBORN}"'''
ready = "log:deaf"
graceful_timeout = 0.3
max_age = 0.5
max_age_variance = 0

[watcher.commanded]
cmd = '''sh -c "{STUBBORN}"'''
graceful_timeout = 0.3
stop_command = "sleep 300"
"""


def test_the_log_says_who_is_killed_and_why() -> None:
    with Stack(FILE) as stack:
        for name in ("stubborn", "litter", "rude", "signalled"):
            stack.wait_for(f"{name}: started")
        stack.wait_for("hooked: hook after_start")
        (pid,) = stack.pids("signalled")
        stack.ctl("signal", "signalled", str(pid), "KILL")
        stack.wait_for("signalled: process 1 died with signal 9")
        (parent,) = stack.pids("parent")
        until(lambda: len(psutil.Process(parent).children()) == 2, "both children")
        one, other = psutil.Process(parent).children()
        stack.call("signal", name="parent", pid=parent, childpid=one.pid, signum="KILL")
        stack.wait_for(f"parent: child of process {parent} (pid {one.pid}) is killed: a client sends that")
        until(lambda: psutil.Process(parent).children() == [other], "the end of one")
        stack.ctl("signal", "parent", str(parent), "KILL", "--children")
        stack.wait_for(f"parent: process 1: what it started (pid {other.pid}) is killed: a client sends that")
        stack.ctl("signal", "parent", str(parent), "KILL", "--recursive")
        stack.wait_for(f"parent: process 1 (pid {parent}) is killed: a client sends that signal")
        assert stack.log().count(f"(pid {parent}) is killed") == 1
        stack.wait_for("late: process 1 died with signal 9 before it was ready (killed: not ready after 0.3")
        stack.wait_for("aged: process 1 (pid ")
        assert stack.stop() == 0
        log = stack.log()
        for who, why in [
            ("stubborn: process 1", "still there 0.3 seconds after it was asked to end"),
            ("litter: process 1: what it started", "still there|which left it behind, is gone"),
            ("rude: process 1", "that is how it is to be stopped"),
            ("hooked: hook after_start", "nobody waits for it any longer"),
            ("signalled: process 1", "a client sends that signal"),
            ("late: process 1", "not ready after 0.3 seconds"),
            ("aged: process 1", "still there 0.3 seconds after it was asked to end"),
            ("commanded: process 1", "still there 0.3 seconds after it was asked to end"),
            ("commanded: process 1: stop command", "what it is to stop is gone"),
        ]:
            assert re.search(rf"{who} \(pid [\d, ]+\) is killed: .*({why})", log), f"{who}\n{log}"


@pytest.mark.case("F5")
def test_a_worker_that_can_do_nothing_is_killed_and_its_requests_are_named(tmp_path: Path) -> None:
    with (
        Site("tests.apps.site:app", "--graceful-timeout", "60", "--workers", "1") as site,
        Client(("127.0.0.1", site.port)) as client,
    ):
        client.send(request("/sleep/50"))
        until(lambda: any(view.running() for view in site.scoreboard.values()), "the request to begin")
        (worker,) = site.workers()
        os.kill(worker, signal.SIGSTOP)  # as a machine that swaps
        site.send(signal.SIGTERM)
        site.wait_for("stopping when open requests are answered")
        until(lambda: "again" in _second_signal(site), "the second signal to be taken")
        site.wait_for("killing what is left")
        assert site.wait() == 0
        assert re.search(r"worker 1 \(pid \d+\) is killed: it is to be gone at once", site.log())
        assert re.search(
            r"GET /sleep/50.* from 127.0.0.1 is cut off after .*: its worker 1 is killed", site.log()
        )


def _second_signal(site: Site) -> str:
    """Send TERM until it counts: two that come together are one."""
    site.send(signal.SIGTERM)
    return "again" if "killing what is left" in site.log() else ""


STUBBORN_ONES = f"""
[watcher.stubborn]
cmd = '''sh -c "{STUBBORN}"'''
ready = "log:deaf"
graceful_timeout = 0.2
numprocesses = 2

[watcher.late]
cmd = "sleep 300"
ready = "file:{{folder}}/ready"
boot_timeout = 0.2
autostart = false
"""


def test_who_waits_for_a_kill_is_told_why() -> None:
    with Stack(STUBBORN_ONES) as stack:
        stack.wait_for("stubborn: started")
        why = "was killed: still there 0.2 seconds after it was asked to end"
        first, _second = stack.pids("stubborn")
        assert f"stubborn: process {first} {why}" in stack.ctl("kill", "stubborn", str(first), "--waiting")
        stack.ctl("start", "stubborn", "--waiting")  # its successor is deaf, too
        told = stack.ctl("decr", "stubborn", "--waiting")
        assert told.count(why) == 1
        assert f"process {first}" not in told, "that was another one's affair"
        told = stack.ctl("stop", "stubborn", "--waiting")
        assert told.count(why) == 1
        reason = "process 1 was killed: not ready after 0.2 seconds"
        assert f"late: {reason}" in stack.ctl("start", "late", "--waiting", status=1)


def test_who_waits_for_a_reload_is_told_why_the_new_process_was_killed() -> None:
    file = """
[watcher.web]
cmd = "sleep 300"
ready = "file:{folder}/ready"
boot_timeout = 0.3
"""
    stack = Stack(file)
    (stack.folder / "ready").touch()
    with stack:
        stack.wait_for("web: started")
        (stack.folder / "ready").unlink()
        told = stack.ctl("reload", "web", "--waiting", status=1)
        assert "web: not ready after 0.3 seconds" in told
        stack.wait_for("is killed: not ready after 0.3 seconds")


def test_a_worker_that_does_not_get_ready_is_killed_and_its_site_says_why() -> None:
    args = ("--preload", "off", "--boot-timeout", "1", "--workers", "1")
    site = Site("tests.apps.ended:wsgi", *args, env={"TEST_IMPORT": "60"})
    with site.attempt():
        site.wait_for("worker 1 died with signal 9 before it was ready (killed: not ready after 1 seconds)")
        assert re.search(r"worker 1 \(pid \d+\) is killed: not ready after 1 seconds", site.log())


DAEMON = """\
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open("daemon", "w").write(str(os.getpid()))
        time.sleep(300)
    os._exit(0)
os.wait()
time.sleep(300)
"""


def test_what_is_left_in_a_control_group_is_named_with_the_reason(tmp_path: Path) -> None:
    try:
        cgroups.remove(cgroups.create("probe", Cgroup()))
    except OSError as error:
        pytest.skip(f"no cgroup may be made here: {error}")
    (tmp_path / "daemon.py").write_text(DAEMON)
    file = f"""
[watcher.grouped]
cmd = "{{python}} daemon.py"
working_dir = "{tmp_path}"
cgroup = "require"
graceful_timeout = 5
"""
    with Stack(file) as stack:
        stack.wait_for("grouped: started")
        until(lambda: (tmp_path / "daemon").exists() and (tmp_path / "daemon").read_text(), "the daemon")
        pid = (tmp_path / "daemon").read_text()
        (leader,) = stack.pids("grouped")
        os.kill(leader, signal.SIGKILL)
        stack.wait_for("grouped: process 1 died with signal 9")
        assert re.search(
            rf"grouped: process 1 with its control group \(pid {pid}\) is killed: "
            rf"process {leader}, which left it behind, is gone",
            stack.log(),
        )
        until(lambda: not psutil.pid_exists(int(pid)), "the daemon's end")


def test_what_cannot_be_watched_is_killed_and_left_for_who_collects(caplog: pytest.LogCaptureFixture) -> None:
    child = os.spawnvp(os.P_NOWAIT, "sleep", ["sleep", "300"])
    try:
        killing.unwatched(child, "web: process 1", OSError(errno.EMFILE, "Too many open files"))
        assert (
            f"web: process 1 (pid {child}) is killed: it cannot be watched: Too many open files"
            in caplog.text
        )
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)
        status = os.waitpid(child, 0)[1]
    assert os.WTERMSIG(status) == signal.SIGKILL
