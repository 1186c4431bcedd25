# What a live worker is doing, seen from outside while it hangs: requests, stacks, profiles.
#
# Whoever hangs is killed at the end of its test, so that nothing of it computes beside the next one.

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bigtop import build
from bigtop.control.client.client import Client, RefusedError
from tests.apps import hanging
from tests.support.site import DEADLINE, Site, halted, until
from tests.support.stack import Stack

Row = dict[str, Any]

COMPILED = build.kind() == "compiled"
PATIENT = ("--timeout", "60")
CTL = (sys.executable, "-m", "bigtop", "ctl", *PATIENT)
WORKERS = ("--workers", "2", "--timeout", "0", "--name", "site", "--graceful-timeout", "1")


class Inspected(Site):
    """A site of tests/apps/hanging.py, and a client of its control channel."""

    def call(self, command: str, **properties: object) -> Row:
        with Client(str(self.folder / "bigtop" / "site.ctl"), timeout=4 * DEADLINE) as client:
            return client.call(command, **properties)

    @contextmanager
    def request(self, path: str, text: bytes = b"") -> Iterator[Row]:
        """Send a request, or the `text` of one, and return its row as soon as that is there."""
        with socket.create_connection(("127.0.0.1", self.port)) as client:
            client.sendall(text or f"GET {path}?secret=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            row = self.row(lambda row: row["path"] == path)
            try:
                yield row
            finally:
                # Asked for, so that no death is held against the next one.
                self.call("kill", name="site", pid=row["pid"], signum="KILL", waiting=True)
                until(lambda: self.has_successor(row["pid"]), "its successor")

    def has_successor(self, pid: int) -> bool:
        pids = self.call("list", name="site")["pids"]
        return len(pids) == 2 and pid not in pids

    def row(self, fits: Callable[[Row], object]) -> Row:
        found: list[Row] = []

        def look() -> list[Row]:
            found.extend(row for row in self.call("requests")["requests"] if fits(row))
            return found

        until(look, "the request")
        return found[0]

    def stack(self, row: Row, function: str, wait: str = "30s") -> Row:
        """Ask what its worker does until `function` is in one of the stacks."""
        found: list[Row] = []

        def look() -> bool:
            found[:] = [self.call("stack", target=row["worker"], wait=wait)]
            return any(function in functions(one) for one in found[0]["stacks"])

        until(look, function)
        return found[0]


def functions(stack: Row) -> list[str]:
    return [frame["function"] for frame in stack["frames"]]


def at(reply: Row, function: str) -> Row:
    """Return the stack that is in `function`."""
    (found,) = [one for one in reply["stacks"] if function in functions(one)]
    return dict(found)


@pytest.fixture(scope="module")
def wsgi() -> Iterator[Inspected]:
    with Inspected("tests.apps.hanging:wsgi", *WORKERS) as site:
        yield site


@pytest.fixture(scope="module")
def asgi() -> Iterator[Inspected]:
    with Inspected("tests.apps.hanging:asgi", *WORKERS) as site:
        yield site


# ---- the hangs


@pytest.mark.parametrize(
    ("kind", "waits"),
    [
        ("sleep", "sleeps"),
        ("lock", "waits for a lock"),
        ("masked", "sleeps"),
        ("receive", r"waits in recvfrom on a socket to 127\.0\.0\.1:\d+"),
    ],
)
def test_a_thread_that_waits_is_told_by_its_worker(wsgi: Inspected, kind: str, waits: str) -> None:
    with wsgi.request(f"/{kind}") as row:
        assert (row["phase"], row["method"], row["client"]) == ("app", "GET", "127.0.0.1")
        reply: Row = {}

        def stands_there() -> bool:  # it may be on its way yet
            reply.update(wsgi.stack(row, f"hang_{kind}"))
            return re.fullmatch(waits, at(reply, f"hang_{kind}")["waits"]) is not None

        until(stands_there, waits)
        assert (reply["author"], reply["note"]) == ("python", "")
        mine = at(reply, f"hang_{kind}")
        assert (mine["kind"], mine["name"], mine["tid"]) == ("thread", "MainThread", row["pid"])
        assert mine["request"]["id"] == row["id"]
        assert mine["request"]["path"] == f"/{kind}"
        assert re.fullmatch(waits, mine["waits"]) or kind == "", mine["waits"]
        assert mine is not reply["stacks"][0]
        assert functions(reply["stacks"][0]) == functions(mine), "who works for a request comes first"
        assert {one["name"] for one in reply["stacks"]} >= {"MainThread", "executor-1"}
        assert "secret" not in json.dumps(reply)
        by_id = wsgi.call("stack", target=row["id"], wait="30s")
        assert [functions(one) for one in by_id["stacks"]] == [functions(mine)]


@pytest.mark.parametrize("kind", ["c", "regex"])
def test_who_holds_the_interpreter_lock_is_told_by_a_signal(wsgi: Inspected, kind: str) -> None:
    with wsgi.request(f"/{kind}") as row:
        reply = wsgi.stack(row, f"hang_{kind}", "300ms")
        assert reply["author"] == "signal"
        assert "the interpreter does not answer: no Python code of it ran for 0.3 s" in reply["note"]
        files = {frame["file"] for frame in at(reply, f"hang_{kind}")["frames"]}
        assert str(Path(hanging.__file__)) in files
        assert not any("reporter.py" in frame["file"] for one in reply["stacks"] for frame in one["frames"])
        wsgi.wait_for(f"in hang_{kind}")  # the log has it, too
        assert [one["path"] for one in reply["requests"]] == [f"/{kind}"]


@pytest.mark.parametrize("kind", ["sleep", "lock", "c", "regex", "masked", "loop"])
def test_each_hang_is_told_within_a_second(kind: str, request: pytest.FixtureRequest) -> None:
    """By `requests` and by `stack` as they are; of several tries the best, if the machine has other work."""
    server, path = ("asgi", "sleep") if kind == "loop" else ("wsgi", kind)
    site: Inspected = request.getfixturevalue(server)
    with site.request(f"/{path}") as row:

        def is_quick(command: str, fits: Callable[[Row], bool], **properties: object) -> bool:
            began = time.monotonic()
            reply = site.call(command, **properties)
            took = time.monotonic() - began
            return fits(reply) and took <= 1

        def lists_it(reply: Row) -> bool:
            return [one["path"] for one in reply["requests"]] == [f"/{path}"]

        def shows_it(reply: Row) -> bool:
            return any(f"hang_{path}" in functions(one) for one in reply["stacks"])

        until(lambda: is_quick("requests", lists_it), "the request in a second")
        until(lambda: is_quick("stack", shows_it, target=row["worker"]), "its stack in a second")


def test_an_event_loop_that_stands_still(asgi: Inspected) -> None:
    with asgi.request("/sleep") as row:
        reply = asgi.stack(row, "hang_sleep")
        assert reply["author"] == "python"
        assert at(reply, "hang_sleep")["request"]["id"] == row["id"]
        notes = [one["note"] for one in reply["stacks"] if one["kind"] == "task"]
        assert "it runs, in a thread above" in notes or COMPILED


def test_an_event_loop_that_holds_the_interpreter_lock(asgi: Inspected) -> None:
    with asgi.request("/regex") as row:
        assert asgi.stack(row, "hang_regex", "300ms")["author"] == "signal"


def test_a_process_that_blocks_all_signals(asgi: Inspected) -> None:
    with asgi.request("/masked") as row:

        def asleep() -> bool:
            reply = asgi.call("stack", target=row["pid"])
            return (
                reply["note"]
                == (
                    "nothing in it can be asked, because all its threads block all signals;"
                    " its main thread sleeps"
                )
                and not reply["author"]
                and not reply["stacks"]
                and bool(reply["threads"])
            )

        until(asleep, "that to be told")


def test_tasks_that_wait_are_shown_with_their_requests(asgi: Inspected) -> None:
    with asgi.request("/wait") as row:
        mine = at(asgi.stack(row, "second_step"), "second_step")
        # Compiled code between a task and its coroutine cannot be seen through.
        named = ("coroutine", "asgi") if COMPILED else ("task", "request")
        assert (mine["kind"], mine["name"], mine["tid"]) == (*named, 0)
        assert functions(mine)[:3] == ["Event.wait", "second_step", "first_step"]
        assert mine["request"]["id"] == row["id"]
        assert mine["note"] == "waits for a future"


def test_greenlets_are_shown_with_their_requests() -> None:
    with Inspected("tests.apps.hanging:wsgi", "--backend", "gevent", *WORKERS) as site:
        with site.request("/sleep") as row:
            mine = at(site.stack(row, "hang_sleep"), "hang_sleep")
            assert (mine["kind"], mine["request"]["id"]) == ("greenlet", row["id"])
        with site.request("/regex") as row:
            assert site.stack(row, "hang_regex", "300ms")["author"] == "signal"


@pytest.mark.parametrize(
    ("choice", "app", "path", "function"),
    [
        ("--backend waitress", "wsgi", "/sleep", "hang_sleep"),
        ("--backend uvicorn", "asgi", "/wait", "second_step"),
        ("--loop asyncio", "asgi", "/wait", "second_step"),
    ],
)
def test_servers_and_loops_of_others(choice: str, app: str, path: str, function: str) -> None:
    site = Inspected(f"tests.apps.hanging:{app}", *choice.split(), *WORKERS)
    with site, site.request(path) as row:
        mine = at(site.stack(row, function), function)
        assert (mine["request"]["method"], mine["request"]["path"]) == ("GET", path)


def test_a_stopped_process(wsgi: Inspected) -> None:
    pid = wsgi.call("list", name="site")["pids"][0]
    with halted(pid):
        reply = wsgi.call("stack", target=str(pid))
    assert reply["note"].startswith("it is stopped (SIGSTOP): it answers nothing before")
    assert reply["author"] == ""
    assert wsgi.call("stack", target=str(pid), wait="30s")["author"] == "python"


def test_who_asks_together_gets_the_same_answer(wsgi: Inspected) -> None:
    with wsgi.request("/sleep") as row:
        command = [*CTL, "stack", "--json", "--wait", "30", row["worker"]]
        environ = {**os.environ, "XDG_RUNTIME_DIR": str(wsgi.folder), "BIGTOP_CTL_ENDPOINT": "site"}
        several = [
            subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) for _ in range(3)
        ]
        for process in several:
            out, _ = process.communicate(timeout=60)
            assert "hang_sleep" in functions(json.loads(out)["stacks"][0])


def test_what_tells_is_imported_when_it_is_asked_for() -> None:
    with Inspected("tests.apps.hanging:wsgi", *WORKERS, "--workers", "1") as site:
        before = set(site.get("/imported").split())
        assert "bigtop.workers.reporter" in before
        assert not before & {"bigtop.workers.inspection", "bigtop.workers.sampler", "bigtop.ipc.reports"}
        assert site.call("stack", target="site", wait="30s")["author"] == "python"
        assert set(site.get("/imported").split()) - before == {
            *("bigtop.workers.inspection", "bigtop.ipc.reports")
        }


# ---- requests


def post(path: str, length: int) -> bytes:
    return f"POST {path}?secret=1 HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


def test_requests_that_arrive_and_answers_that_leave(wsgi: Inspected) -> None:
    with wsgi.request("/body", post("/body", 1000) + b"x" * 100) as row:
        assert (row["phase"], row["bytes"], row["method"]) == ("reading", 100, "POST")
    with socket.create_connection(("127.0.0.1", wsgi.port)) as client:
        client.sendall(b"GET /head HTTP/1.1\r\nHo")
        row = wsgi.row(lambda row: row["phase"] == "reading")
        assert (row["method"], row["path"], row["client"]) == ("", "", "127.0.0.1")
        client.sendall(b"st: x\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        until(lambda: wsgi.call("requests")["requests"] == [], "its end")
    with wsgi.request("/large") as row:
        assert wsgi.row(lambda row: row["phase"] == "writing" and row["bytes"] > 0)["path"] == "/large"
    with wsgi.request("/pieces"):
        assert wsgi.row(lambda row: row["path"] == "/pieces" and row["bytes"] > 5)["phase"] == "app"


def test_requests_that_wait_for_the_application() -> None:
    site = Inspected("tests.apps.site:app", *WORKERS[2:], "--workers", "1")
    over = site.folder / "over"
    with (
        site,
        socket.create_connection(("127.0.0.1", site.port)) as first,
        socket.create_connection(("127.0.0.1", site.port)) as second,
    ):
        # Both are accepted before the one application slot is taken.
        first.sendall(f"GET /until?{over} HTTP/1.1\r\nHo".encode())
        second.sendall(b"GET /second?secret=1 HTTP/1.1\r\nHo")
        until(lambda: len(site.call("requests")["requests"]) == 2, "both heads")
        first.sendall(b"st: x\r\n\r\n")
        site.row(lambda row: row["path"] == "/until" and row["phase"] == "app")
        second.sendall(b"st: x\r\n\r\n")
        assert site.row(lambda row: row["path"] == "/second")["phase"] == "queued"
        over.touch()
        for client in (first, second):
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
        until(lambda: site.call("requests")["requests"] == [], "the end of both")
        recent = site.call("recent")["requests"]
        assert sorted(row["path"] for row in recent) == ["/second", "/until"], "each once"


def test_asgi_requests_that_arrive_and_answers_that_leave(asgi: Inspected) -> None:
    with socket.create_connection(("127.0.0.1", asgi.port)) as client:
        client.sendall(b"GET /head HTTP/1.1\r\nHo")
        asgi.row(lambda row: row["phase"] == "reading" and row["client"] == "127.0.0.1")
        client.sendall(b"st: x\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        until(lambda: asgi.call("requests")["requests"] == [], "its end")
    with socket.create_connection(("127.0.0.1", asgi.port)) as client:
        client.sendall(b"GET /head HTTP/1.1\r\nHo")
        asgi.row(lambda row: row["phase"] == "reading")
    until(lambda: asgi.call("requests")["requests"] == [], "the client to be gone")
    with asgi.request("/large"):
        assert asgi.row(lambda row: row["phase"] == "writing" and row["bytes"] > 0)["path"] == "/large"


def test_slow_and_recent_ones(wsgi: Inspected) -> None:
    with wsgi.request("/sleep"):
        until(lambda: wsgi.call("requests", slow="100ms")["requests"], "its tenth of a second")
        assert wsgi.call("requests", slow="1h")["requests"] == []
    for number in range(3):
        assert wsgi.get(f"/quick{number}?secret=1") == "ok"
    recent: list[Row] = []

    def all_there() -> bool:  # a worker writes that down when the answer is out
        recent[:] = wsgi.call("recent")["requests"]
        return [row["path"] for row in recent][-3:] == ["/quick0", "/quick1", "/quick2"]

    until(all_there, "the three")
    assert {(row["status_code"], row["phase"]) for row in recent[-3:]} == {(200, "done")}
    assert all(row["bytes"] > 2 for row in recent[-3:])
    assert len(wsgi.call("recent", lines=2)["requests"]) == 2
    assert wsgi.call("recent", slow="1h")["requests"] == wsgi.call("recent", lines=0)["requests"] == []
    assert "secret" not in json.dumps(recent)


# ---- the command line


def ctl(site: Site, *words: str, cwd: Path | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*CTL, *words],
        env={**os.environ, "XDG_RUNTIME_DIR": str(site.folder), "BIGTOP_CTL_ENDPOINT": "site"},
        stdout=subprocess.PIPE,
        text=True,
        cwd=cwd,
    )


def test_requests_are_watched(wsgi: Inspected) -> None:
    with wsgi.request("/sleep") as row:
        with ctl(wsgi, "requests", "--watch") as watching:
            assert watching.stdout is not None
            try:
                lines = [watching.stdout.readline() for _ in range(5)]
            finally:
                watching.kill()
        assert lines[0].split() == lines[3].split() != []
        assert lines[2] == "\n"
        assert lines[1].split()[0] == lines[4].split()[0] == row["worker"]


def test_a_profile_is_drawn(wsgi: Inspected, tmp_path: Path) -> None:
    with wsgi.request("/busy") as row:
        with ctl(wsgi, "profile", row["worker"], "--seconds", "2", "-o", "busy.svg", cwd=tmp_path) as command:
            out, _ = command.communicate(timeout=120)
        assert command.returncode == 0
    assert re.search(r"^\d+\.\d% +\d+\.\d% +tests\.apps\.hanging\.(_spin|hang_busy)$", out, re.MULTILINE), out
    assert out.endswith("written: busy.svg, busy.txt\n")
    hot = [line for line in (tmp_path / "busy.txt").read_text().splitlines() if "hang_busy" in line]
    assert all(
        re.fullmatch(r"MainThread;.*;tests\.apps\.hanging\.hang_busy(;\S+)? \d+", line) for line in hot
    )
    picture = ElementTree.parse(tmp_path / "busy.svg").getroot()
    titles = [element.text or "" for element in picture.iter("{http://www.w3.org/2000/svg}title")]
    assert any(
        re.fullmatch(r"tests\.apps\.hanging\.hang_busy: \d+ looks, \d+\.\d%", title) for title in titles
    )


def test_who_cannot_answer_is_not_profiled(wsgi: Inspected) -> None:
    with (
        wsgi.request("/c") as row,
        pytest.raises(RefusedError, match="no Python code ran in its main thread"),
    ):
        wsgi.call("profile", target=row["worker"], seconds=1)


# ---- commands


COMMANDS = """
[watcher.sleeper]
cmd = "sleep 1000"
[watcher.python]
cmd = "{python} -c 'import time; time.sleep(1000)'"
"""


def test_processes_that_run_nothing_of_ours() -> None:
    with Stack(COMMANDS) as stack:
        stack.wait_for("sleeper: started")
        stack.wait_for("python: started")
        said = stack.ctl(*PATIENT, "stack", "sleeper")
        assert "sleeper is no Python program: this is what the kernel knows" in said
        assert re.search(r"^  \d+  sleep +sleeps$", said, re.MULTILINE), said
        reply = json.loads(stack.ctl(*PATIENT, "stack", "--json", "python"))
        if reply["author"]:
            assert reply["author"] in ("py-spy", "pystack")
            assert "MainThread" in reply["text"] or "time.sleep" in reply["text"]
        else:
            assert "py-spy" in reply["note"]  # what is missing: the tool, or the right to use it
        assert [one["waits"] for one in reply["threads"]] == ["sleeps"]
        assert "py-spy record" in stack.ctl(*PATIENT, "profile", "python", status=1)


def test_without_a_tool_it_is_said_which(tmp_path: Path) -> None:
    """In an interpreter beside which none is installed."""
    os.symlink(sys.executable, tmp_path / "python")
    paths = os.pathsep.join(path for path in sys.path if path)
    stack = Stack(COMMANDS, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": paths})
    stack.command[0] = str(tmp_path / "python")
    with stack:
        stack.wait_for("python: started")
        reply = json.loads(stack.ctl(*PATIENT, "stack", "--json", "--native", "python"))
        assert reply["note"].startswith("neither py-spy nor pystack is installed: pip install py-spy")
        assert [one["waits"] for one in reply["threads"]] == ["sleeps"]
