# `bigtop top` without Textual: once, as JSON, and as a table on a terminal, of supervisors that run.

from __future__ import annotations

import itertools
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from bigtop.top.model import columns
from tests.support.site import DEADLINE, ROOT, Site, lives, until
from tests.support.stack import Stack
from tests.support.terminal import Terminal
from tests.support.users import NOBODY, python_for_nobody
from tests.support.wire import Client

TOP = [sys.executable, "-m", "bigtop", "top"]
FILE = """
[app.web]
app = "tests.apps.hanging:wsgi"
bind = ["127.0.0.1:0"]
workers = 2

[watcher.mail]
cmd = "sleep 1000"
numprocesses = 2

[watcher.parent]
cmd = "sh -c 'sleep 1000 & sleep 1001; true'"
"""


def top(*words: str, env: dict[str, str], status: int = 0) -> str:
    done = subprocess.run(
        [*TOP, *words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout if not status else done.stderr


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(FILE) as running:
        for name in ("web", "mail", "parent"):
            running.wait_for(f"{name}: started")
        yield running


@contextmanager
def hanging(site: Site) -> Iterator[None]:
    """Have a request in progress."""
    with socket.create_connection(("127.0.0.1", site.port)) as client:
        client.sendall(b"GET /sleep?secret=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        yield


def named(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (found,) = [row for row in rows if row["name"] == name]
    return found


def test_once_as_json_without_a_stats_process(stack: Stack) -> None:
    before = set(stack.pids("mail"))
    told = json.loads(top("--once", "--json", env=stack.env))
    (one,) = told["supervisors"]
    assert (one["name"], one["pid"], one["trouble"]) == ("stack", stack.pid, None)
    assert one["source"] == "stats process of its own"
    web, mail, parent = (named(one["watchers"], name) for name in ("web", "mail", "parent"))
    assert (web["state"], web["generation"], web["restarts"], web["places"]) == ("active", 1, 0, 2)
    assert web["rate"] == 0.0
    assert {row["pid"] for row in mail["processes"]} == before
    assert all(row["memory"] > 0 and row["cpu"] is not None for row in mail["processes"])
    assert parent["memory"] > parent["processes"][0]["memory"] / 2
    assert [row["name"] for row in named(one["watchers"], "(bigtop)")["processes"]] == [
        "supervisor",
        "fork server of web",
    ]
    assert one["sockets"][0]["address"].startswith("127.0.0.1:")
    assert one["sockets"][0]["backlog"] > 0
    # The supervisor has no stats process after that, either.
    assert "circusd-stats" not in stack.call("status")["statuses"]


def test_once_as_a_table(stack: Stack) -> None:
    env = {**stack.env, "COLUMNS": "80"}
    lines = top("--once", env=env).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == ["NAME▲", *(column.title for column in columns.of_width(80))]
    assert [line.split()[1] for line in lines[2:] if line.startswith("  ▾")] == ["mail", "parent", "web"]
    only = top("--once", "--filter", "mail", "--sort", "pid", env=env).splitlines()
    assert "PID▲" in only[1]
    pids = [int(line.split()[1]) for line in only if line.startswith("      ")]
    assert pids == sorted(stack.pids("mail"))
    assert not any(" web" in line for line in only[1:])


def test_requests_in_progress_stand_below_their_worker(stack: Stack) -> None:
    with hanging(stack):
        until(lambda: stack.call("requests")["requests"], "the request")
        told = json.loads(top("--once", "--json", env=stack.env))
        web = named(told["supervisors"][0]["watchers"], "web")
        (busy,) = [row for row in web["processes"] if row["requests"]]
        (row,) = busy["requests"]
        assert (row["name"], row["state"]) == ("GET /sleep", "app")
        assert "secret" not in json.dumps(told)
        assert (busy["calls"], web["calls"]) == (1, 1)
        text = top("--once", env=stack.env)
        assert "GET /sleep" in text
        stack.call("kill", name="web", pid=busy["pid"], signum="KILL", waiting=True)


def test_figures_of_the_supervisors_own_stats_process() -> None:
    with Site("tests.apps.wsgi_basic:app", "--name", "site", "--stats", "--workers", "1") as site:
        site.wait_for("circusd-stats: started")
        env = {**os.environ, "XDG_RUNTIME_DIR": str(site.folder)}
        told = json.loads(top("-e", "site", "--once", "--json", env=env))
    (one,) = told["supervisors"]
    assert (one["name"], one["source"]) == ("site", "stats process")
    web, own = one["watchers"]
    assert web["processes"][0]["memory"] > 0
    assert "circusd-stats" in [row["name"] for row in own["processes"]]


def test_json_goes_on_with_a_line_each_second(stack: Stack) -> None:
    with subprocess.Popen(
        [*TOP, "--json"], cwd=ROOT, env=stack.env, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        lines = [json.loads(run.stdout.readline()) for _ in range(3)]
        times = [line["time"] for line in lines]
        run.send_signal(signal.SIGINT)
        run.stdout.read()
        assert run.wait(DEADLINE) == 1  # as of any command that is interrupted
    assert times[2] - times[0] >= 1.9
    assert all(line["supervisors"][0]["pid"] == stack.pid for line in lines)


def test_several_supervisors_side_by_side(stack: Stack) -> None:
    with Site("tests.apps.wsgi_basic:app", "--name", "other") as site:
        where = str(site.folder / "bigtop" / "other.ctl")
        told = json.loads(top("-e", stack.endpoint, "-e", where, "--once", "--json", env=stack.env))
        assert [one["name"] for one in told["supervisors"]] == ["stack", "other"]
        assert [one["pid"] for one in told["supervisors"]] == [stack.pid, site.pid]


def test_nobody_to_be_looked_at(stack: Stack) -> None:
    said = top("-e", "nobody", "--once", env=stack.env, status=69)
    # There may be others on this machine, whom everybody finds.
    assert said.startswith("bigtop: no supervisor named 'nobody' runs here; there are: stack")
    said = top("-e", "/no/such/socket", "--once", env=stack.env, status=69)
    assert said == "bigtop: socket: nobody answers, or this user may not ask\n"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--once", "--operate"], "--operate is for the table of Textual"),
        (["--plain", "--operate"], "--operate is for the table of Textual"),
        ([], "this is no terminal: say --once or --json"),
        (["--sort", "colour"], "is not one of 'name'"),
        (["--once", "--identity", "x"], "--identity and --server-key belong together"),
    ],
)
def test_what_makes_no_sense_is_refused(words: list[str], reason: str, stack: Stack) -> None:
    assert reason in top(*words, env=stack.env, status=2)


def test_its_stats_process_ends_with_it(stack: Stack) -> None:
    with subprocess.Popen([*TOP, "--json"], cwd=ROOT, env=stack.env, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        assert run.stdout.readline()
        (child,) = psutil.Process(run.pid).children()
        run.kill()  # it has no time to end anything
        run.wait()
        until(lambda: not lives(child), "the end of the stats process")


def test_who_may_not_read_processes_has_figures_of_the_control_channel() -> None:
    """root looks at what root may, so it is somebody else who looks at root's."""
    found = python_for_nobody()
    if found is None:
        pytest.skip("this needs root, and a Python that the user nobody can run")
    program, env = found
    with Stack('[circus]\nendpoint = "tcp://127.0.0.1:0"\n[watcher.mail]\ncmd = "sleep 1000"\n') as stack:
        stack.wait_for("mail: started")
        done = subprocess.run(
            [program, "-m", "bigtop", "top", "-e", stack.endpoint, "--once", "--json"],
            env={**env, "HOME": "/"},
            user=NOBODY,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    (one,) = json.loads(done.stdout)["supervisors"]
    assert one["source"].startswith("control channel: ")
    mail = named(one["watchers"], "mail")
    assert mail["processes"][0]["memory"] > 0
    assert mail["memory"] == mail["processes"][0]["memory"]


# ---- on a terminal


def titles(screen: list[str]) -> str:
    return next((line for line in screen if line.startswith("NAME")), "")


def test_a_table_on_a_terminal(stack: Stack) -> None:
    with Terminal([*TOP, "--plain"], stack.env) as terminal:
        screen = terminal.wait_for(lambda seen: any("▾ mail" in line for line in seen), "the table")
        assert len(screen) == 24
        assert max(map(len, screen)) <= 80
        assert titles(screen).startswith("NAME▲")
        terminal.press("ss")
        terminal.wait_for(lambda seen: "GE▼" in titles(seen), "the next column")
        terminal.press("S")
        terminal.wait_for(lambda seen: "PID▲" in titles(seen), "the previous column")
        terminal.press("i")
        terminal.wait_for(lambda seen: "PID▼" in titles(seen), "the other way round")
        terminal.resize(120, 40)
        terminal.wait_for(lambda seen: len(seen) == 40 and "TREND" in titles(seen), "the larger one")
        terminal.press("q")
        assert terminal.wait() == 0
        assert terminal.said.endswith("\033[?25h\033[?1049l")
        assert terminal.is_as_before


def test_a_table_shows_events_and_the_end_of_its_supervisor() -> None:
    with Stack('[watcher.mail]\ncmd = "sleep 1000"\n') as stack:
        stack.wait_for("mail: started")
        with Terminal([*TOP, "--plain"], stack.env) as terminal:
            terminal.wait_for(lambda seen: any("▾ mail" in line for line in seen), "the table")
            screen = terminal.provoke(lambda: stack.call("signal", name="mail", signum="USR1"), "mail died")
            assert any("mail died" in line and "exit_code=-10" in line for line in screen)
            stack.stop()
            terminal.wait_for(lambda seen: "answer" in seen[0] or "reply" in seen[0], "the loss")
            terminal.press("\x03")
            assert terminal.wait() == 0


@pytest.mark.parametrize(("env", "has_colours"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_are_there_unless_somebody_objects(
    env: dict[str, str], has_colours: bool, stack: Stack
) -> None:
    environ = {key: value for key, value in stack.env.items() if key != "NO_COLOR"}
    with Terminal([*TOP, "--plain"], {**environ, **env}) as terminal:
        terminal.wait_for(lambda seen: any("▾ mail" in line for line in seen), "the table")
        assert ("\033[1m" in terminal.said) is has_colours
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait() == 0
        assert terminal.is_as_before


def test_over_a_port_of_this_machine_it_looks_for_itself() -> None:
    """As with a circus.ini as it stands."""
    with Stack(
        "[circus]\nendpoint = tcp://127.0.0.1:0\n[watcher:a]\ncmd = sleep 1000\n", "circus.ini"
    ) as stack:
        stack.wait_for("a: started")
        told = json.loads(top("-e", stack.endpoint, "--once", "--json", env=stack.env))
    (one,) = told["supervisors"]
    assert (one["source"], one["pid"]) == ("stats process of its own", stack.pid)


# ---- with Textual


@contextmanager
def in_tmux(*words: str, env: dict[str, str]) -> Iterator[tuple[Callable[..., str], Path]]:
    """Run a command in tmux, 80 by 24; yield what gives commands to that, and returns what it says, and the
    file that will have the exit status."""
    program = shutil.which("tmux")
    if program is None:
        pytest.skip("this needs tmux: apt-get install tmux")
    folder = Path(tempfile.mkdtemp(prefix="bigtop-tmux-"))

    def tmux(*command: str, check: bool = True) -> str:
        done = subprocess.run(
            [program, "-S", str(folder / "s"), "-f", "/dev/null", *command],
            capture_output=True,
            text=True,
            check=check,
            timeout=60,
            env={**env, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"},
        )
        return done.stdout

    status = folder / "status"
    command = f"{shlex.join(words)}; echo $? > {status}"
    tmux("new-session", "-d", "-x", "80", "-y", "24", "-c", str(ROOT), command)
    try:
        yield tmux, status
    finally:
        tmux("kill-server", check=False)
        shutil.rmtree(folder)


def test_it_works_in_tmux(stack: Stack) -> None:
    with in_tmux(*TOP, env=stack.env) as (tmux, status):

        def screen() -> list[str]:
            return tmux("capture-pane", "-p").splitlines()

        def see(text: str) -> list[str]:
            until(lambda: any(text in line for line in screen()), f"{text!r} in {screen()}")
            return screen()

        see("▾ mail")
        assert see("socket 127.0.0.1:")[1].startswith("NAME▲")
        tmux("send-keys", ">")
        see("PID▲")
        tmux("send-keys", "?")
        see("It only looks.")
        tmux("send-keys", "Escape")
        see("▾ mail")
        tmux("send-keys", "/")  # keys go to where the focus is, which takes a moment to move
        until(lambda: screen()[-1].startswith("filter"), "the line for the filter")
        tmux("send-keys", "web")
        until(lambda: screen()[-1].startswith("web"), "the filter")
        tmux("send-keys", "Enter")
        until(lambda: screen()[-1].startswith("? help") and "/web" in screen()[1], "what it leaves")
        assert not any("mail" in line for line in screen())
        tmux("send-keys", "q")
        until(lambda: status.exists() and status.read_text() == "0\n", "its end")


WITHOUT = """
import runpy, sys
sys.modules["textual"] = None
sys.argv = ["bigtop", *sys.argv[1:]]
runpy.run_module("bigtop", run_name="__main__")
"""


def test_without_textual_it_is_the_plain_table(stack: Stack) -> None:
    words = [sys.executable, "-c", WITHOUT, "top"]
    with Terminal(words, stack.env) as terminal:
        screen = terminal.wait_for(lambda seen: any("▾ mail" in line for line in seen), "the table")
        assert screen[-1].startswith("q quit")
        terminal.press("q")
        assert terminal.wait() == 0
    done = subprocess.run([*words, "--operate"], env=stack.env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--operate is for the table of Textual: pip install 'bigtop[top]'" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminal_is_as_before_when_somebody_ends_it(number: int, stack: Stack) -> None:
    with Terminal(TOP, stack.env) as terminal:
        until(lambda: "mail" in terminal.look(), "the table")
        process = psutil.Process(terminal.process.pid)
        until(process.children, "its stats process")
        (child,) = process.children()
        terminal.process.send_signal(number)
        assert terminal.wait() == 0
        assert terminal.is_as_before
        assert not lives(child)  # its stats process


@pytest.mark.parametrize("slow", [40, 250])
def test_p99_is_that_of_what_clients_saw(slow: int) -> None:
    """One request of twenty is slow: whichever ten seconds are looked at, their p99 is the time of such."""
    took: list[float] = []
    ended = threading.Event()

    def ask(site: Site, number: int) -> None:
        with Client(("127.0.0.1", site.port)) as client:
            for turn in itertools.count(number):
                if ended.is_set():
                    return
                answer = client.get(f"/{slow if turn % 20 == 0 else 2}")
                if turn % 20 == 0:
                    took.append(float(answer.body) / 1000)

    with (
        Site("tests.apps.timed:app", "--workers", "2", "--threads", "2", "--stats", "--name", "shop") as site,
        ThreadPoolExecutor(2) as clients,
    ):
        asked = [clients.submit(ask, site, number) for number in (0, 10)]
        try:
            until(lambda: len(took) > 10, "slow requests")
            env = {**os.environ, "XDG_RUNTIME_DIR": str(site.folder)}
            told = json.loads(top("--once", "--json", "--endpoint", "shop", env=env))
            watcher = told["supervisors"][0]["watchers"][0]
        finally:
            ended.set()
        for one in asked:
            one.result()
        assert min(took) * 0.95 <= watcher["p99"] <= max(took) * 1.05
