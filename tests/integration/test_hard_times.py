# Everything at the wrong moment: signals during boot and reload, many at once; children that are stopped,
# that die while they fork, that cannot be forked; disks that are full.

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support.load import Load
from tests.support.procfs import has_ended
from tests.support.site import DEADLINE, ROOT, Site, until
from tests.support.wire import Client, request

APP = "tests.apps.site:app"
# Takes its time to be imported while there is a file named "slow" beside it.
SLOW_IMPORT = """\
import os, time
print("importing", flush=True)
while os.path.exists(os.path.join(os.path.dirname(__file__), "slow")):
    time.sleep(0.02)
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]
"""


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """The file whose presence keeps the application from being imported."""
    (tmp_path / "slowly.py").write_text(SLOW_IMPORT)
    (tmp_path / "slow").touch()
    return tmp_path / "slow"


# ---- while it starts


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("preload", ["on", "off"])
def test_a_stop_before_the_first_worker_is_ready(preload: str, number: int, slow: Path) -> None:
    args = ("--preload", preload, "--pythonpath", str(slow.parent), "--workers", "2")
    site = Site("slowly:app", *args, "--graceful-timeout", "300")  # nothing has that time, and nobody waits
    site.start()
    try:
        site.wait_for("importing")
        assert site.stop(number) == 0
        until(site.is_gone, "everything to be gone")
    finally:
        site._end()


@pytest.mark.parametrize("preload", ["on", "off"])
def test_a_reload_before_the_first_worker_is_ready(preload: str, slow: Path) -> None:
    site = Site("slowly:app", "--preload", preload, "--pythonpath", str(slow.parent), "--workers", "2")
    site.start()
    try:
        site.wait_for("importing")
        for _ in range(3):
            done = site.log().count("SIGHUP: reloading")
            site.send(signal.SIGHUP)
            site.wait_for("SIGHUP: reloading", done + 1)
        slow.unlink()
        site.wait_for("every worker is of generation 4 now")
        assert site.get() == "ok"
        until(lambda: len(site.fork_servers()) == 1 and len(site.workers()) == 2, "one generation")
        assert site.stop() == 0
        until(site.is_gone, "everything to be gone")
    finally:
        site._end()


@pytest.mark.parametrize("preload", ["on", "off"])
def test_a_supervisor_that_is_killed_before_the_first_worker_is_ready(preload: str, slow: Path) -> None:
    site = Site("slowly:app", "--preload", preload, "--pythonpath", str(slow.parent), "--workers", "2")
    site.start()
    try:
        site.wait_for("importing")
        site.family()
        os.kill(site.pid, signal.SIGKILL)
        site.process.wait()
        until(site.is_gone, "everything to be gone")
    finally:
        site._end()


# Holds what a fork server forks, in each of its two forks, and writes down who that is.
HELD_FORK = """\
import os, sys, time
def wait():
    if "bigtop.workers.forkserver" not in sys.orig_argv:
        return
    folder = os.path.dirname(__file__)
    with open(os.path.join(folder, "forked"), "a") as forked:
        print(os.getpid(), file=forked)
    while os.path.exists(os.path.join(folder, "slow")):
        time.sleep(0.02)
os.register_at_fork(after_in_child=wait)
"""


def test_a_supervisor_that_is_killed_while_a_worker_is_forked(slow: Path) -> None:
    # The worker has nobody yet whose death would end it, and its import never comes back.
    (slow.parent / "sitecustomize.py").write_text(HELD_FORK)
    (slow.parent / "slowly.py").write_text("import time\nwhile True: time.sleep(1)\n")
    path = f"{slow.parent}:{ROOT}"
    site = Site("slowly:app", "--preload", "off", "--workers", "1", env={"PYTHONPATH": path})
    site.start()
    forked = slow.parent / "forked"

    def pids() -> list[int]:
        return [int(line) for line in forked.read_text().splitlines()] if forked.exists() else []

    try:
        until(pids, "a fork")
        site.family()
        os.kill(site.pid, signal.SIGKILL)
        site.process.wait()
        slow.unlink()
        until(lambda: len(pids()) == 2, "a worker")
        until(lambda: all(map(has_ended, pids())), "the end of everything")
    finally:
        site._end()
        for pid in pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGTTIN, signal.SIGTERM])
def test_a_signal_as_soon_as_the_pidfile_is_there(number: int, tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    site = Site(APP, "--pid", str(pidfile))
    site.start()
    try:
        end = time.monotonic() + DEADLINE
        while not pidfile.exists() or not pidfile.read_text():
            assert time.monotonic() < end
        site.send(number)
        if number == signal.SIGTERM:
            assert site.wait() == 0
        else:
            site.wait_for(signal.Signals(number).name if number != signal.SIGUSR1 else "logs reopened")
            site.wait_for(": started")
            assert site.stop() == 0
        assert not pidfile.exists()
    finally:
        site._end()


# ---- while it ends or reloads


def test_signals_that_come_too_late_do_not_change_the_exit_status() -> None:
    with Site(APP) as site:

        def is_over() -> bool:
            site.send(signal.SIGTERM)
            return site.process.poll() is not None

        until(is_over, "the end")
        assert site.wait() == 0


def test_a_stop_in_the_middle_of_a_reload(slow: Path) -> None:
    slow.unlink()
    args = ("--pythonpath", str(slow.parent), "--workers", "2", "--graceful-timeout", "300")
    with Site("slowly:app", *args) as site:
        slow.touch()
        site.send(signal.SIGHUP)
        site.wait_for("importing", 2)
        assert site.get() == "ok"
        assert site.stop() == 0
        until(site.is_gone, "everything to be gone")


def test_twenty_reloads_at_once_lose_nothing() -> None:
    with Site(APP, "--workers", "3") as site, Load(site.port, 50) as load:
        until(lambda: load.answered > 200, "some answers")
        for sent in range(1, 21):
            site.send(signal.SIGHUP)
            # Equal signals that wait are one (signal(7)): each is sent when the one before was heard.
            site.wait_for("SIGHUP: reloading", sent)
        site.wait_for("every worker is of generation 21 now", timeout=60)
        until(lambda: len(site.fork_servers()) == 1 and len(site.workers()) == 3, "one generation")
    assert load.failures == []


def test_reopening_logs_under_load_loses_no_line(tmp_path: Path) -> None:
    access = tmp_path / "access.log"
    with Site(APP, "--workers", "2", "--access-logfile", str(access)) as site:
        with Load(site.port, 20) as load:
            for rotation in range(1, 6):
                answered = load.answered
                until(lambda: load.answered > answered + 200, "answers")  # noqa: B023
                until(access.exists, "a worker that has opened it again")
                access.rename(tmp_path / f"access.log.{rotation}")
                site.send(signal.SIGUSR1)
                site.wait_for("logs reopened", rotation)
        assert site.stop() == 0
    assert load.failures == []
    lines = [line for file in tmp_path.iterdir() for line in file.read_text().splitlines()]
    assert len(lines) == load.answered
    assert all(line.endswith('"-" "-"') and "GET /pid HTTP/1.1" in line for line in lines)


# ---- stopped, dying, unborn


def test_a_stopped_worker_delays_nobody_for_longer_than_its_grace_and_the_margin() -> None:
    args = ("--workers", "2", "--graceful-timeout", "1")
    with Site(APP, *args) as reloaded, Site(APP, *args) as ended:  # at once, for the margin is long
        stopped = {}
        for site in (reloaded, ended):
            until(lambda site=site: len(site.workers()) == 2, "two workers")  # type: ignore[misc]
            stopped[site] = min(site.workers())
            os.kill(stopped[site], signal.SIGSTOP)
        reloaded.send(signal.SIGHUP)
        assert ended.stop() == 0
        until(ended.is_gone, "everything to be gone")
        reloaded.wait_for("every worker is of generation 2 now")
        until(lambda: stopped[reloaded] not in reloaded.workers(), "the stopped worker to be gone")


@pytest.mark.case("B14")
def test_a_stopped_worker_with_a_request_is_late_and_is_killed() -> None:
    steps = "--timeout-action", "retire,kill"
    with Site(APP, "--timeout", "1", *steps) as site, Client(("127.0.0.1", site.port)) as client:
        (worker,) = site.workers()
        client.send(request("/halt"))  # it is stopped during the call, which would take no time
        site.wait_for("is stuck: GET /halt")
        until(lambda: worker not in site.workers() and site.workers(), "the successor")
        assert site.get() == "ok"
        why = r"still there [\d.]+ seconds after it was asked to end"
        assert re.search(rf"worker 1 \(pid {worker}\) is killed: {why}", site.log())
        assert re.search(r"GET /halt .* is cut off after .*: its worker 1 is killed", site.log())


def _is_running(site: Site) -> bool:
    """Whether an application call of the first worker goes on."""
    return bool(site.scoreboard[0].running())


def test_what_waits_outside_survives_the_worker_that_dies() -> None:
    with Site(APP) as site, contextlib.ExitStack() as connections:
        (worker,) = site.workers()
        address = ("127.0.0.1", site.port)
        hanging = connections.enter_context(Client(address))
        hanging.send(request("/hang"))
        until(lambda: _is_running(site), "the request to be called")
        # Its only slot is taken by now, or will be before it could accept anybody else.
        time_to_notice = Client(address)
        connections.enter_context(time_to_notice)
        others = [connections.enter_context(Client(address)) for _ in range(10)]
        for client in others:
            client.send(request("/"))
        os.kill(worker, signal.SIGKILL)
        assert [client.answer().status for client in others] == [200] * 10


def test_a_worker_per_request() -> None:
    with Site(APP, "--max-requests", "1") as site:
        with Load(site.port, 4) as load:
            until(lambda: len(load.workers) >= 8, "a worker for each request")
        assert load.failures == []
        until(lambda: len(site.workers()) == 1, "one worker")
        assert "died" not in site.log()


def test_fork_servers_that_are_killed_while_they_fork() -> None:
    with Site(APP, "--workers", "2") as site:
        for _ in range(4):
            for pid in [*site.workers(), *site.fork_servers()]:
                with contextlib.suppress(ProcessLookupError):  # it ended because of those before it
                    os.kill(pid, signal.SIGKILL)
            until(lambda: site.fork_servers() and site.workers(), "others", 60)
        until(lambda: len(site.fork_servers()) == 1 and len(site.workers()) == 2, "all to be back", 60)
        assert site.get() == "ok"
        assert site.stop() == 0
        until(site.is_gone, "everything to be gone")


@pytest.mark.parametrize("room", [0, 3])
def test_a_fork_server_without_descriptors_says_so_and_recovers(room: int) -> None:
    with Site(APP) as site:
        (fork_server,) = site.fork_servers()
        taken = {int(name) for name in os.listdir(f"/proc/{fork_server}/fd")}
        # A limit below which so many numbers are free; two come with the order, the pipe takes two.
        limit = next(number for number in range(1000) if number - len(taken & set(range(number))) == room)
        limits = resource.prlimit(fork_server, resource.RLIMIT_NOFILE)
        resource.prlimit(fork_server, resource.RLIMIT_NOFILE, (limit, limits[1]))
        os.kill(next(iter(site.workers())), signal.SIGKILL)
        site.wait_for("processes wait until there is room for them: fork: ")
        resource.prlimit(fork_server, resource.RLIMIT_NOFILE, limits)
        until(lambda: len(site.workers()) == 1, "the worker")
        assert site.get() == "ok"
        assert list(site.fork_servers()) == [fork_server]


@pytest.mark.parametrize("room", [0, 4, 6, 8])
def test_a_supervisor_without_descriptors_recovers(room: int) -> None:
    with Site(APP) as site:
        (fork_server,) = site.fork_servers()
        (worker,) = site.workers()
        os.kill(fork_server, signal.SIGSTOP)  # so that the order of events is one
        taken = {int(name) for name in os.listdir(f"/proc/{site.pid}/fd")}
        # Not a limit of 0, where poll(2) looks at nothing any more.
        limit = next(number for number in range(1, 1000) if number - len(taken & set(range(number))) == room)
        limits = resource.prlimit(site.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(site.pid, resource.RLIMIT_NOFILE, (limit, limits[1]))
        os.kill(fork_server, signal.SIGKILL)
        os.kill(worker, signal.SIGKILL)
        until(lambda: worker not in site.workers(), "the death")
        site.wait_for("worker 1 died with signal 9")
        until(lambda: "open files" in site.log() or site.workers(), "a word about it")
        resource.prlimit(site.pid, resource.RLIMIT_NOFILE, limits)
        until(lambda: len(site.workers()) == 1 and len(site.fork_servers()) == 1, "all to be back")
        assert site.get() == "ok"
        assert "Traceback" not in site.log()
        assert site.stop() == 0


def test_a_fork_server_that_does_not_answer_is_replaced() -> None:
    with Site(APP, "--boot-timeout", "5") as site:
        (fork_server,) = site.fork_servers()
        os.kill(fork_server, signal.SIGSTOP)
        os.kill(next(iter(site.workers())), signal.SIGKILL)
        until(lambda: fork_server not in site.fork_servers(), "the fork server to be replaced")
        until(lambda: len(site.workers()) == 1, "the worker")
        assert site.get() == "ok"


def test_a_fork_that_fails_is_told_and_tried_again() -> None:
    try:
        subprocess.run([sys.executable, "-c", "import bigtop"], user="nobody", check=True)
    except (PermissionError, subprocess.CalledProcessError):
        pytest.skip("needs root, and a Python that others may run")
    site = Site("tests.apps.crowded:app", "--user", "nobody")
    site.start()
    try:
        site.wait_for("worker 1 could not be started: fork: Resource temporarily unavailable", 3)
        assert site.stop() == 0
        until(site.is_gone, "everything to be gone")
    finally:
        site._end()


# ---- where nothing can be written


def test_full_disks_cost_the_lines_and_no_request(tmp_path: Path) -> None:
    url = tmp_path / "pid"
    site = Site(APP, "--access-logfile", "/dev/full", "--error-logfile", "/dev/full", "--pid", str(url))
    site.start()
    try:
        until(lambda: site.workers(), "a worker")
        port = _listening_port(site.pid)
        with Client(("127.0.0.1", port)) as client:
            assert client.get("/").body == b"ok"
            assert client.get("/say").body == b"ok"
        site.send(signal.SIGUSR1)
        site.send(signal.SIGHUP)
        until(lambda: any("gen 2" in title for title in site.fork_servers().values()), "a reload")
        with Client(("127.0.0.1", port)) as client:
            assert client.get("/").body == b"ok"
        assert site.stop() == 0
    finally:
        site._end()


def _listening_port(pid: int) -> int:
    (connection,) = psutil.Process(pid).net_connections("tcp")
    return int(connection.laddr.port)


def test_nobody_reads_what_it_writes() -> None:
    """Its stderr and stdout are a pipe whose reader is gone, from the first line on."""
    site = Site(APP, "--access-logfile", "-")
    read_end, write_end = os.pipe()
    os.close(read_end)
    site.process = subprocess.Popen(
        site.command, cwd=ROOT, stdout=write_end, stderr=write_end, stdin=subprocess.DEVNULL
    )
    os.close(write_end)
    site.pid = site.process.pid
    try:
        until(site.workers, "a worker")
        port = _listening_port(site.pid)
        with Client(("127.0.0.1", port)) as client:
            for _ in range(3):
                assert client.get("/say").body == b"ok"
        site.send(signal.SIGHUP)
        until(lambda: any("gen 2" in title for title in site.fork_servers().values()), "a reload")
        with Client(("127.0.0.1", port)) as client:
            assert client.get("/").body == b"ok"
        assert site.stop() == 0
    finally:
        site._end()
