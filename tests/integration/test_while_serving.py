# Deaths, reloads, scaling, hangs: what happens to a site in its middle age, and that clients do not notice.

from __future__ import annotations

import os
import random
import signal
import socket
from pathlib import Path

import psutil
import pytest

from bigtop.control.client.client import Client
from tests.support.certificates import made, written
from tests.support.load import Load
from tests.support.procfs import words
from tests.support.site import Site, halted, lives, until
from tests.support.tls_client import context

APP = "tests.apps.site:app"


def test_a_dead_worker_is_replaced_at_once() -> None:
    with (
        Site(APP, "--workers", "2") as site,
        Client(f"ipc://{site.folder}/bigtop/tests.ctl", timeout=30.0) as client,
    ):
        victim = psutil.Process(next(iter(site.workers())))
        victim.kill()
        until(lambda: not lives(victim), "its death")
        # Nobody has to look for deaths: who is told of one knows it within the same turn of the event loop.
        for _ in range(2):
            client.call("status")
        assert "died with signal 9; replaced at once" in site.log()
        until(lambda: len(site.workers().keys() - {victim.pid}) == 2, "the successor")


def test_a_crash_loop_backs_off_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "crasher.py").write_text(
        "import os, sys\nif os.getenv('GO'):\n print('no disk left', file=sys.stderr); os._exit(9)\n"
    )
    site = Site("crasher:app", "--preload", "off", "--pythonpath", str(tmp_path), env={"GO": "1"})
    site.start()
    try:
        site.wait_for("replaced in 2 s")
        assert "died with exit status 9 before it was ready" in site.log()
        assert "no disk left" in site.log().partition("its last words:")[2]
        assert site.stop() == 0
    finally:
        site._end()


def test_a_successor_that_cannot_import_the_application_any_more_says_why(tmp_path: Path) -> None:
    code = tmp_path / "fragile.py"
    code.write_text(
        "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'ok']\n"
    )
    with Site("fragile:app", "--preload", "off", "--pythonpath", str(tmp_path)) as site:
        code.write_text("raise RuntimeError('the queue is not there')\n")
        os.kill(next(iter(site.workers())), signal.SIGKILL)
        site.wait_for("replaced in 1 s")
        last_words = site.log().partition("its last words:\n")[2]
        assert "cannot import fragile: RuntimeError: the queue is not there" in last_words
        assert 'fragile.py", line 1' in last_words


def test_scaling_by_signals() -> None:
    with Site(APP) as site:
        site.send(signal.SIGTTIN)
        until(lambda: len(site.workers()) == 2, "two workers")
        site.send(signal.SIGTTOU)
        until(lambda: len(site.workers()) == 1, "one worker")
        site.send(signal.SIGTTOU)
        site.wait_for("SIGTTOU: 1 worker", 2)
        assert site.get() == "ok"


def test_a_worker_that_is_too_many_before_it_is_born_leaves_at_once() -> None:
    with Site(APP, "--workers", "2", "--graceful-timeout", "30") as site:
        until(lambda: len(site.workers()) == 2, "two workers")
        before = set(site.workers())
        (fork_server,) = site.fork_servers()
        os.kill(fork_server, signal.SIGSTOP)
        site.send(signal.SIGTTIN)
        site.wait_for("SIGTTIN: 3 workers")
        site.send(signal.SIGTTOU)
        site.wait_for("SIGTTOU: 2 workers")
        site.send(signal.SIGTTIN)  # another one, which is forked after it: it can be seen that both were
        site.wait_for("SIGTTIN: 3 workers", 2)
        os.kill(fork_server, signal.SIGCONT)

        def names() -> list[str]:
            return sorted(title.split()[2] for title in site.workers().values())

        until(lambda: names() == ["1", "2", "4"] and len(site.fork_servers()) == 1, "1, 2 and 4")
        assert before < site.workers().keys()


def test_a_reload_runs_the_new_code(tmp_path: Path) -> None:
    code = "def app(environ, start_response):\n start_response('200 OK', [])\n return [b'%s']\n"
    module = tmp_path / "changing.py"
    module.write_text(code % "old")
    with Site("changing:app", "--pythonpath", str(tmp_path), "--workers", "2") as site:
        assert site.get() == "old"
        module.write_text(code % "new code")
        site.send(signal.SIGHUP)
        site.wait_for("every worker is of generation 2 now")
        until(lambda: len(site.workers()) == 2, "the old workers to be gone")
        assert {site.get() for _ in range(20)} == {"new code"}
        until(lambda: len(site.fork_servers()) == 1, "the old fork server to be gone")


@pytest.mark.parametrize("preload", ["on", "off"])
def test_a_reload_to_broken_code_keeps_the_old(tmp_path: Path, preload: str) -> None:
    module = tmp_path / "breaking.py"
    good = "def app(environ, start_response):\n start_response('200 OK', [])\n return [b'old']\n"
    module.write_text(good)
    with Site("breaking:app", "--pythonpath", str(tmp_path), "--workers", "2", "--preload", preload) as site:
        before = set(site.workers())
        module.write_text("raise RuntimeError('a bad day')\n")
        site.send(signal.SIGHUP)
        site.wait_for("reload failed, generation 2 cannot run and 1 goes on")
        assert "RuntimeError: a bad day" in site.log()
        assert {site.get() for _ in range(10)} == {"old"}
        until(lambda: set(site.workers()) == before, "the old workers only")
        # A crash after the failed deploy still comes back with the old code, although the file is broken.
        if preload == "on":
            os.kill(next(iter(before)), signal.SIGKILL)
            until(lambda: len(site.workers().keys() - before) == 1, "the successor")
            assert {site.get() for _ in range(10)} == {"old"}
        module.write_text(good.replace("old", "mended"))
        site.send(signal.SIGHUP)
        site.wait_for("every worker is of generation 3 now")
        assert {site.get() for _ in range(10)} == {"mended"}


@pytest.mark.parametrize(("scheme", "clients"), [("http", 200), ("https", 50)])
def test_keep_alive_clients_over_reloads_scaling_and_term(tmp_path: Path, scheme: str, clients: int) -> None:
    tls = () if scheme == "http" else ("--tls", written(tmp_path, made("localhost")))
    by = context() if tls else None
    with Site(APP, "--workers", "2", *tls) as site, Load(site.port, clients, tls=by) as load:
        until(lambda: load.answered > 1000, "some answers")
        for generation in (2, 3, 4):
            site.send(signal.SIGHUP)
            site.wait_for(f"every worker is of generation {generation} now")
            until(lambda: site.workers().keys() <= load.workers, "answers of each worker")
        site.send(signal.SIGTTIN)
        until(lambda: len(site.workers()) == 3, "a third worker")
        site.send(signal.SIGTTOU)
        until(lambda: len(site.workers()) == 2, "two workers")
        answered = load.answered
        until(lambda: load.answered > answered + 1000, "more answers")
        load._over = True
        assert site.stop() == 0
    assert load.failures == []
    assert len(load.workers) >= 8


def test_only_requests_of_killed_workers_fail() -> None:
    chance = random.Random(5)
    killed: set[int] = set()
    hit: set[int] = set()  # ports of clients that the killed workers had
    with Site(APP, "--workers", "4") as site, Load(site.port, 100) as load:
        for _ in range(6):
            answered = load.answered
            until(lambda: load.answered > answered + 500, "answers")  # noqa: B023
            victim = chance.choice(sorted(site.workers()))
            killed.add(victim)
            with halted(victim):
                connections = psutil.Process(victim).net_connections("tcp")
                hit |= {one.raddr.port for one in connections if one.raddr}
                os.kill(victim, signal.SIGKILL)
            until(lambda: len(site.workers().keys() - killed) == 4, "four workers")
        load._over = True
    assert [failure for failure in load.failures if failure.port not in hit] == []


def test_max_requests_replaces_workers_and_loses_nothing() -> None:
    with Site(APP, "--workers", "2", "--max-requests", "300", "--max-requests-jitter", "50") as site:
        first = set(site.workers())
        with Load(site.port, 20) as load:
            until(lambda: len(load.workers - first) >= 4, "generations of workers")
    assert load.failures == []


@pytest.mark.case("B14")
def test_a_hung_request_is_reported_and_its_worker_replaced() -> None:
    with Site(APP, "--timeout", "1", "--timeout-action", "retire,kill") as site:
        (hung,) = site.workers()
        with socket.create_connection(("127.0.0.1", site.port)) as client:
            client.sendall(b"GET /hang?why HTTP/1.1\r\nHost: x\r\n\r\n")
            site.wait_for("is stuck: GET /hang?why for ")
            site.wait_for("in app\n")  # the stack of the thread, by faulthandler
            assert "tests/apps/site.py" in site.log()
            assert client.recv(100) == b""
        until(lambda: hung not in site.workers() and len(site.workers()) == 1, "the successor")
        assert site.get() == "ok"


def test_a_hung_request_does_not_harm_its_neighbours_in_other_threads() -> None:
    with Site(APP, "--timeout", "3", "--timeout-action", "retire,kill", "--threads", "4") as site:
        (hung,) = site.workers()
        over = site.folder / "over"

        def running() -> int:
            return sum(len(view.running()) for view in site.scoreboard.values())

        with (
            socket.create_connection(("127.0.0.1", site.port)) as good,
            socket.create_connection(("127.0.0.1", site.port)) as bad,
        ):
            good.sendall(f"GET /until?{over} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            until(lambda: running() == 1, "a good request")
            bad.sendall(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
            until(lambda: running() == 2, "a bad request beside it")
            over.touch()
            answer = good.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 OK")
            assert answer.endswith(str(hung).encode())
            site.wait_for("is stuck: GET /hang")
            until(lambda: hung not in site.workers() and len(site.workers()) == 1, "the successor")


def test_logs_are_reopened_on_usr1(tmp_path: Path) -> None:
    log, access = tmp_path / "error.log", tmp_path / "access.log"
    site = Site(APP, "--access-logfile", str(access), "--error-logfile", str(log))
    site.start()
    try:
        until(lambda: log.exists() and ": started" in log.read_text(), "the start")
        site.log_path = log
        site.get("/first")
        until(lambda: "/first" in access.read_text(), "the access line")
        log.rename(tmp_path / "error.log.1")
        access.rename(tmp_path / "access.log.1")
        site.send(signal.SIGUSR1)
        until(lambda: log.exists() and access.exists(), "new files")
        until(lambda: "logs reopened" in log.read_text(), "the note")
        url = (tmp_path / "error.log.1").read_text().partition("listening on ")[2].split()[0]
        import urllib.request

        def asked_and_logged() -> bool:
            urllib.request.urlopen(url + "/second").read()
            return "/second" in access.read_text()

        until(asked_and_logged, "the access line in the new file")
    finally:
        site._end()


def test_what_workers_write_to_stderr_comes_through() -> None:
    with Site(APP) as site:
        site.get("/say")
        site.wait_for("the application says so")


def test_preload_shares_memory_and_auto_finds_threads(tmp_path: Path) -> None:
    (tmp_path / "threaded.py").write_text(
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(600,), name='poller', daemon=True).start()\n"
        "def app(environ, start_response):\n"
        " start_response('200 OK', [])\n"
        " return [str(threading.active_count()).encode()]\n"
    )
    with Site("threaded:app", "--pythonpath", str(tmp_path)) as site:
        assert "importing the application started 1 thread (poller)" in site.log()
        assert int(site.get()) >= 2  # the thread lives in the worker, which imported for itself
    with Site("threaded:app", "--pythonpath", str(tmp_path), "--preload", "on") as site:
        assert "started 1 thread" not in site.log()


def test_preload_auto_finds_sockets(tmp_path: Path) -> None:
    (tmp_path / "connected.py").write_text(
        "import socket\npair = socket.socketpair()\n"
        "def app(environ, start_response):\n start_response('200 OK', [])\n return [b'ok']\n"
    )
    with Site("connected:app", "--pythonpath", str(tmp_path)) as site:
        assert "importing the application opened 2 sockets" in site.log()
        assert site.get() == "ok"


def test_preload_auto_finds_locked_files(tmp_path: Path) -> None:
    # A lock that forked workers share keeps nobody out: two of them would write to the same database.
    (tmp_path / "single.py").write_text(
        "import fcntl, os\n"
        f"file = open({str(tmp_path / 'lock')!r}, 'w')\n"
        "try:\n fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n mine = b'mine'\n"
        "except BlockingIOError:\n mine = b'taken'\n"
        "def app(environ, start_response):\n"
        " start_response('200 OK', [])\n return [mine + b' %d' % os.getpid()]\n"
    )
    args = ("--pythonpath", str(tmp_path), "--workers", "2", "--keep-alive", "0")
    with Site("single:app", *args) as site:
        assert "importing the application locked 1 file" in site.log()
        until(lambda: len(site.workers()) == 2, "two workers")
        first, _, pid = site.get().partition(" ")
        with halted(int(pid)):  # so the other one answers
            second, _, _ = site.get().partition(" ")
        assert {first, second} == {"mine", "taken"}


def test_identity_is_assumed_in_order(tmp_path: Path) -> None:
    if os.getuid():
        pytest.skip("needs root")
    # As another user the interpreter itself may be out of reach (a Python below /root): the group can always
    # be changed; tests/workers/test_identity.py has the user.
    args = ["--group", "daemon", "--umask", "27", "--chdir", str(tmp_path), "--env", "COLOUR=green"]
    with Site(APP, *args, "--access-logfile", str(tmp_path / "a.log")) as site:
        assert site.get("/id") == f"0 1 {0o27} {tmp_path} green"
        until(lambda: "GET /id" in (tmp_path / "a.log").read_text(), "the access line")
        assert (tmp_path / "a.log").stat().st_gid == 1


def test_reload_on_file_change(tmp_path: Path) -> None:
    module = tmp_path / "edited.py"
    code = "def app(environ, start_response):\n start_response('200 OK', [])\n return [b'%s']\n"
    module.write_text(code % "before")
    with Site(
        "edited:app", "--chdir", str(tmp_path), "--reload", env={"PYTHONDONTWRITEBYTECODE": "1"}
    ) as site:
        assert site.get() == "before"
        until(lambda: any("reloader" in " ".join(words(p)) for p in site.family()), "the reloader")

        def edited() -> bool:
            module.write_text(code % "after!")
            return "edited.py; reloading" in site.log()

        until(edited, "the change to be noticed")
        until(lambda: site.get() == "after!", "the new code")


def test_a_killed_fork_server_is_made_again() -> None:
    with Site(APP, "--workers", "2") as site:
        (fork_server,) = site.fork_servers()
        os.kill(fork_server, signal.SIGKILL)
        until(lambda: site.fork_servers() and fork_server not in site.fork_servers(), "another fork server")
        victim = next(iter(site.workers()))
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(site.workers().keys() - {victim}) == 2, "the successor")
        assert site.get() == "ok"


def test_signals_meant_for_the_supervisor_do_not_hurt_its_children() -> None:
    with Site(APP) as site:
        (worker,) = site.workers()
        (fork_server,) = site.fork_servers()
        for pid in (worker, fork_server):
            for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR1):
                os.kill(pid, number)
        assert site.get() == "ok"
        assert set(site.workers()) == {worker}


def test_a_worker_that_is_told_to_leave_by_signal_is_replaced() -> None:
    with Site(APP) as site:
        (worker,) = site.workers()
        os.kill(worker, signal.SIGTERM)
        until(lambda: site.workers() and worker not in site.workers(), "the successor")
        assert site.get() == "ok"
