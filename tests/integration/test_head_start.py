# The first fork server of `bigtop serve`, which begins before the command line is read: nobody can tell it
# from those that come later, and there is nothing of it where nothing is served.

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.site import ROOT, Site, until

LINES = "tests.apps.surroundings:app"
MANY = 200  # descriptors that go with one message


def surroundings(site: Site) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(site.get())
    return found


def has_head_start(site: Site) -> bool:
    """Whether the fork server is a fork of the supervisor: exec(3) puts a stack elsewhere, at random."""
    (pid,) = site.fork_servers()
    return _stack(pid) == _stack(site.pid)


def _stack(pid: int) -> str:
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return next(line for line in lines if line.endswith("[stack]")).split()[0].partition("-")[2]


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--preload", "off"),
        ("--umask", "027", "--env", "ONE=1", "--chdir", "/tmp", "--pythonpath", str(ROOT)),
        ("--capture-output",),
    ],
    ids=" ".join,
)
def test_what_it_bears_is_as_what_later_ones_bear(flags: tuple[str, ...]) -> None:
    strange = {"NAME": "\udcff", "NOTIFY_SOCKET": "/nowhere", "PYTHONPATH": str(ROOT)}
    with Site(LINES, "--workers", "1", *flags, env=strange) as site:
        assert has_head_start(site)
        first = surroundings(site)
        site.process.send_signal(signal.SIGHUP)
        site.wait_for(": reloaded")
        until(lambda: len(site.fork_servers()) == 1, "the end of the first fork server")
        assert not has_head_start(site)
        until(lambda: len(site.workers()) == 1, "the end of the old worker")
        assert surroundings(site) == first


def test_signals_that_were_ignored_are_not() -> None:
    """nohup(1) and shells without job control leave such things to those who execute a program."""
    command = "trap '' INT HUP USR1 CHLD PIPE; exec \"$@\""
    with Site(LINES, "--workers", "1") as usual:
        expected = surroundings(usual)["at the import"]["signals"]
    site = Site(LINES, "--workers", "1")
    site.command = ["sh", "-c", command, "sh", *site.command]
    with site:
        assert has_head_start(site)
        assert surroundings(site)["at the import"]["signals"] == expected


def test_more_descriptors_than_one_message_takes(tmp_path: Path) -> None:
    binds = [word for number in range(MANY) for word in ("--bind", f"unix:{tmp_path}/{number}")]
    with Site("tests.apps.wsgi_basic:app", "--workers", "1", *binds) as site:
        assert has_head_start(site)
        assert site.get()


def test_a_configuration_and_hooks(tmp_path: Path) -> None:
    """Hooks have a process of their own, before there is a fork server."""
    conf = tmp_path / "conf.py"
    conf.write_text("workers = 1\n")
    with Site(LINES, "--config", str(conf)) as site:
        assert has_head_start(site)
    conf.write_text("workers = 1\ndef on_starting(server): print('hooked', flush=True)\n")
    with Site(LINES, "--config", str(conf)) as site:
        site.wait_for("hooked")
        assert not has_head_start(site)


# A configuration that ends the fork server which waits for what it says.
KILLER = """
import os, pathlib, signal
def title(pid):
    return pathlib.Path(f"/proc/{pid}/cmdline").read_text()
def state(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
me, parent = os.getpid(), os.getppid()
children = pathlib.Path(f"/proc/{parent}/task/{parent}/children")
server = "" if "bigtop: fork server" not in title(me) else "it executes this file as well"
while not server:
    server = next((pid for pid in children.read_text().split() if "bigtop: fork server" in title(pid)), "")
if server.isdigit():
    os.kill(int(server), signal.SIGKILL)
    while state(server) != "Z":
        pass
workers = 1
"""


def test_one_that_died_in_time_is_not_missed(tmp_path: Path) -> None:
    (tmp_path / "conf.py").write_text(KILLER)
    with Site(LINES, "--config", str(tmp_path / "conf.py")) as site:
        assert not has_head_start(site)
        assert site.get()
        assert "[ERROR]" not in site.log()
        assert "[WARNING]" not in site.log()


@pytest.mark.parametrize(
    ("options", "words"),
    [((), "-X importtime"), (("-W", "default"), ""), (("-P",), "")],
    ids=["trace", "warnings", "safe path"],
)
def test_flags_of_the_interpreter_are_for_the_supervisor_alone(options: tuple[str, ...], words: str) -> None:
    site = Site(LINES, "--workers", "1")
    site.command = [sys.executable, *words.split(), *options, *site.command[1:]]
    with site:
        assert not has_head_start(site)


# ---- in vain


def run(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself, and wait until nothing of it is left."""
    token = uuid.uuid4().hex
    done = subprocess.run(
        [sys.executable, "-m", "bigtop", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environ, "TOKEN": token},
        timeout=60,
    )
    until(lambda: not remaining(token), "the end of all processes")
    return done


def remaining(token: str) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TOKEN") == token:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize(
    ("words", "environ", "status", "last"),
    [
        (("--no-such-flag",), {}, 2, "Error: No such option"),
        (("--workers", "many"), {}, 78, "bigtop: --workers: must be auto or a whole number"),
        ((), {"BIGTOP_CHECK_CONFIG": "on"}, 0, ""),
        (("--bind", "127.0.0.1:99999"), {}, 78, ""),
        (("--bind", "192.0.2.1:1"), {}, 1, ""),
    ],
    ids=["flag", "value", "check", "port", "address"],
)
def test_where_nothing_is_served(
    words: tuple[str, ...], environ: dict[str, str], status: int, last: str
) -> None:
    done = run("serve", "tests.apps.wsgi_basic:app", *words, **environ)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    if last:
        assert done.stderr.splitlines()[-1].startswith(last)


def test_an_application_that_cannot_be_imported() -> None:
    done = run("serve", "tests.apps.nowhere:app", "--bind", "127.0.0.1:0")
    assert done.returncode == 3
    assert "bigtop: there is no module tests.apps.nowhere" in done.stderr
