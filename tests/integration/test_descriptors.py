# What Bigtop and its children have open, whoever started it.

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.procfs import descriptors
from tests.support.site import ROOT, Site, until
from tests.support.stack import Stack

APP = "tests.apps.site:app"


def with_shell(site: Site, redirections: str) -> None:
    site.command = ["/bin/bash", "-c", f'exec "$@" {redirections}', "bash", *site.command]


@pytest.mark.case("A13")
@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", "<&-", ">&-", "2>&-"])
def test_a_site_is_served_whatever_is_closed(closed: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    site = Site(APP, "--error-logfile", str(log), "--workers", "1")
    with_shell(site, closed)
    site.start()
    try:
        until(lambda: log.exists() and ": started" in log.read_text(), "the start")
        for pid in (site.pid, *site.workers(), *site.fork_servers()):
            standard = [descriptors(pid)[fd] for fd in (0, 1, 2)]
            assert [one for one in standard if one.startswith(("socket:", "anon_inode:", "/memfd"))] == []
        assert site.stop() == 0
    finally:
        site._end()


@pytest.mark.case("A13")
@pytest.mark.parametrize("words", [["ctl", "--help"], ["check", "x.toml"], ["serve", "--check-config", APP]])
def test_commands_end_well_with_everything_closed(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text('[watcher.a]\ncmd = "true"\n')
    command = ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-m", "bigtop", *words]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0


@pytest.mark.case("A13")
def test_programs_that_are_started_find_them_open() -> None:
    code = (
        "import subprocess, sys; from bigtop.system import descriptors; descriptors.settle()\n"
        "subprocess.run(['sh', '-c', 'ls -l /proc/$$/fd >&2'])\n"
        "sys.stdout.write('nobody reads this'); sys.stderr.write(sys.stdin.read())\n"
    )
    command = ["/bin/sh", "-c", 'exec "$@" <&- >&-', "sh", sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr.count("-> /dev/null")) == (0, 2), done.stderr


SERVE = (
    "import bigtop, sys; bigtop.serve('tests.apps.site:app', check_config=True)\n"
    "pid = 'self'; sys.stderr.write('nobody reads this')"
)
TRAIN = (
    "import bigtop, psutil; trainer = bigtop.get_trainer('sleep 1000', 1); trainer.start()\n"
    "pid = psutil.Process().children()[0].pid"
)


@pytest.mark.case("A13")
@pytest.mark.parametrize("program", [SERVE, TRAIN], ids=["serve", "train"])
def test_so_does_what_a_program_begins(program: str) -> None:
    check = "import os, sys\nfor fd in 0, 1, 2:\n    "
    check += "if os.readlink(f'/proc/{pid}/fd/{fd}') != '/dev/null': sys.exit(1)\n"
    command = ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", f"{program}\n{check}"]
    assert subprocess.run(command, cwd=ROOT).returncode == 0


@pytest.mark.case("A13")
@pytest.mark.case("B7")
def test_programs_have_what_they_are_to_have_and_nothing_else() -> None:
    """Plain ones, those that the launcher makes, hooks, and everything that serves an application."""
    text = """
[watcher.plain]
cmd = "sleep 1000"
close_child_stdin = false

[watcher.launched]
cmd = "sleep 1000"
rlimit_nofile = 100

[watcher.hooked]
cmd = "sleep 1000"
hooks.before_start = "!ls -l /proc/$$/fd > {folder}/hook; sleep 0"

[app.site]
app = "tests.apps.site:app"
bind = "127.0.0.1:0"
"""
    stack = Stack(text)
    with_shell(stack, "77</etc/hostname 78</etc/hostname <&- >&-")
    with stack:
        for name in ("plain", "launched", "hooked", "site"):
            stack.wait_for(f"{name}: started")
        for name in ("plain", "launched"):
            (pid,) = stack.pids(name)
            # It has more for a moment behind its exec, and while it loads its libraries.
            until(
                lambda pid=pid: descriptors(pid).keys() == {0, 1, 2},
                f"three descriptors and no more in {name}",
            )
            assert descriptors(pid)[1] in ("/dev/null", "pipe") or descriptors(pid)[1].startswith("pipe:")
        for pid in (process.pid for process in stack.family()):
            assert "/etc/hostname" not in descriptors(pid).values(), stack.log()
        assert "hostname" not in (stack.folder / "hook").read_text()
        assert stack.stop() == 0
        assert "left behind" not in stack.log()  # the launcher has ended by itself


@pytest.mark.case("B7")
def test_sockets_that_were_asked_for_go_with_it_into_the_background(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, open("/etc/hostname") as stray:
        listener.set_inheritable(True)
        pid_file, log = tmp_path / "pid", tmp_path / "log"
        command = [sys.executable, "-m", "bigtop", "serve", APP, "--bind", f"fd://{listener.fileno()}"]
        command += ["--daemon", "--pid", str(pid_file), "--error-logfile", str(log)]
        done = subprocess.run(
            command,
            pass_fds=(listener.fileno(), stray.fileno()),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        pid = int(pid_file.read_text())
        try:
            assert "/etc/hostname" not in descriptors(pid).values()
        finally:
            os.kill(pid, 15)
            until(lambda: not pid_file.exists(), "the end")


@pytest.mark.case("B7")
def test_systemds_sockets_go_with_it_into_the_background(tmp_path: Path) -> None:
    """The number in LISTEN_PID is that of the command in the foreground."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pid_file, log = tmp_path / "pid", tmp_path / "log"
        words = f"-m bigtop serve {APP} --daemon --pid {pid_file} --error-logfile {log}".split()
        script = f'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@" 3<&{listener.fileno()}'
        done = subprocess.run(
            ["/bin/bash", "-c", script, "bash", sys.executable, *words],
            pass_fds=(listener.fileno(),),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        try:
            assert f"listening on http://127.0.0.1:{listener.getsockname()[1]}" in log.read_text()
        finally:
            os.kill(int(pid_file.read_text()), 15)
            until(lambda: not pid_file.exists(), "the end")
