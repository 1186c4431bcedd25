# What a supervisor does when there is no room for a process: it waits, says so, and stays reachable.

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from typing import TypeVar

import pytest

from bigtop.control.client.client import Client, RefusedError
from tests.support.site import Site, until
from tests.support.stack import Stack

S = TypeVar("S", bound=Site)
MANY = """
[watcher.a]
cmd = "sleep 1000"
stdout_stream.class = "FileStream"
stdout_stream.filename = "{folder}/a.log"
graceful_timeout = 1
EXTRA
"""


APP = """
[app.a]
app = "tests.apps.wsgi_basic:app"
bind = ["127.0.0.1:0"]
"""


def limited(site: S, limit: int) -> S:
    site.command = ["/bin/sh", "-c", f'ulimit -n {limit}; exec "$@"', "sh", *site.command]
    return site


@pytest.mark.case("B1")
@pytest.mark.parametrize("extra", ["", "nice = 1", 'ready = "notify"', 'ready = "log:x"'])
def test_descriptors_run_out_and_the_channel_answers(extra: str) -> None:
    with limited(Stack(MANY.replace("EXTRA", extra)), 56) as stack:
        stack.wait_for("channel on")
        with Client(stack.endpoint, timeout=30.0) as client:
            client.call("incr", name="a", nb=40)
            stack.wait_for("processes wait until there is room")
        for _ in range(5):
            with Client(stack.endpoint, timeout=30.0) as client:
                client.call("status")
        with Client(stack.endpoint, timeout=30.0) as client:
            until(lambda: 0 < client.call("numprocesses", name="a")["numprocesses"] < 40, "some of them")
            with pytest.raises(RefusedError, match="Too many open files"):
                client.call("incr", name="a", nb=1, waiting=True)
            assert stack.log().count("[ERROR] a: processes wait until there is room") == 1
            client.call("decr", name="a", nb=40)
            stack.wait_for("there is room again")
        assert stack.process.poll() is None
        assert "Traceback" not in stack.log()
        os.kill(stack.pid, signal.SIGTERM)
        assert stack.process.wait(30) == 0


def cramp(pid: int, room: int) -> tuple[int, int]:
    """Let a supervisor open `room` more descriptors before it reaches its reserve; return its limits."""
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    limit = (len(os.listdir(f"/proc/{pid}/fd")) + room) * 3 // 2
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, limits[1]))
    return limits


@pytest.mark.case("B1")
def test_what_waits_starts_when_there_is_room() -> None:
    with Stack(MANY.replace("EXTRA", "")) as stack, Client(stack.endpoint, timeout=30.0) as client:
        stack.wait_for("a: started")
        limits = cramp(stack.pid, 10)
        client.call("incr", name="a", nb=29)
        stack.wait_for("processes wait until there is room")
        with pytest.raises(RefusedError, match="Too many open files"):
            client.call("reloadconfig")
        resource.prlimit(stack.pid, resource.RLIMIT_NOFILE, limits)
        stack.wait_for("there is room again")
        assert len(client.call("list", name="a")["pids"]) == 30


@pytest.mark.case("B1")
@pytest.mark.parametrize(
    ("make", "limit"),
    [
        pytest.param(lambda: Stack(MANY.replace("EXTRA", "")), 20, id="run"),
        pytest.param(lambda: Stack(APP), 40, id="run-app"),
        pytest.param(lambda: Site("tests.apps.wsgi_basic:app"), 20, id="serve-queues"),
        pytest.param(lambda: Site("tests.apps.wsgi_basic:app", "--workers", "2"), 60, id="serve-room"),
    ],
)
def test_too_few_descriptors_for_a_start_are_told(make: Callable[[], Site], limit: int) -> None:
    site = limited(make(), limit)
    site.start()
    try:
        assert site.process.wait(30) == 78
        assert "raise ulimit -n" in site.log()
        assert "Traceback" not in site.log()
    finally:
        site._end()


@pytest.mark.case("B1")
def test_an_application_that_there_is_no_room_for_changes_nothing() -> None:
    with Stack(MANY.replace("EXTRA", "")) as stack, Client(stack.endpoint, timeout=30.0) as client:
        stack.wait_for("a: started")
        limits = cramp(stack.pid, 15)
        stack.write(MANY.replace("EXTRA", "") + APP.replace("app.a", "app.b"))
        with pytest.raises(RefusedError, match="b: no descriptors for the queues of its workers"):
            client.call("reloadconfig")
        resource.prlimit(stack.pid, resource.RLIMIT_NOFILE, limits)
        assert client.call("list")["watchers"] == ["a"]
        client.call("reloadconfig", waiting=True)
        assert sorted(client.call("list")["watchers"]) == ["a", "b"]
        assert "Traceback" not in stack.log()


@pytest.mark.case("B1")
def test_workers_of_a_site_wait_for_room() -> None:
    with Site("tests.apps.wsgi_basic:app", "--workers", "1", "--name", "short") as site:
        site.wait_for("kill -HUP")  # what it opens for its start is closed again
        limits = cramp(site.pid, 8)
        for count in range(2, 12):
            os.kill(site.pid, signal.SIGTTIN)
            site.wait_for(f"{count} workers from now on")
        site.wait_for("short: processes wait until there is room")
        assert site.get()
        resource.prlimit(site.pid, resource.RLIMIT_NOFILE, limits)
        site.wait_for("there is room again")
        until(lambda: len(site.workers()) == 11, "all workers")
        assert "Traceback" not in site.log()
        assert site.stop() == 0


@pytest.mark.case("B1")
def test_a_reload_of_a_site_waits_for_room() -> None:
    with Site("tests.apps.wsgi_basic:app", "--workers", "1", "--name", "short") as site:
        site.wait_for("kill -HUP")  # what it opens for its start is closed again
        limits = cramp(site.pid, 0)
        site.send(signal.SIGHUP)
        site.wait_for("short: processes wait until there is room")
        assert len(site.fork_servers()) == 1
        resource.prlimit(site.pid, resource.RLIMIT_NOFILE, limits)
        site.wait_for("every worker is of generation 2 now")
        assert "reload failed" not in site.log()


@pytest.mark.case("B1")
def test_a_worker_that_cannot_be_watched_for_want_of_room_is_made_anew() -> None:
    """The last descriptor goes between the order for it and its first word."""
    with Site("tests.apps.wsgi_basic:app", "--workers", "1", "--name", "short") as site:
        (fork_server,) = site.fork_servers()
        os.kill(fork_server, signal.SIGSTOP)
        try:
            with Client(f"ipc://{site.folder}/bigtop/short.ctl", timeout=30.0) as client:
                client.call("incr", name="short")  # who has the reply knows that the order is given
            limits = resource.prlimit(
                site.pid, resource.RLIMIT_NOFILE, (8, resource.prlimit(site.pid, resource.RLIMIT_NOFILE)[1])
            )
        finally:
            os.kill(fork_server, signal.SIGCONT)
        site.wait_for("processes wait until there is room for them: it cannot be watched")
        resource.prlimit(site.pid, resource.RLIMIT_NOFILE, limits)
        site.wait_for("there is room again")
        until(lambda: len(site.workers()) == 2, "both workers")
        assert "died" not in site.log()
