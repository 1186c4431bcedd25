# The life of a site: start, refuse to start, stop, be killed.

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests.support.certificates import made, written
from tests.support.gate import Gate
from tests.support.load import Load
from tests.support.procfs import descriptors
from tests.support.site import DEADLINE, ROOT, Site, until
from tests.support.stack import Stack
from tests.support.tls_client import context
from tests.support.wire import Client, request

APP = "tests.apps.site:app"


def test_workers_share_one_socket_and_their_titles_say_who_they_are() -> None:
    with Site(APP, "--workers", "3", "--name", "shop") as site:
        assert site.get("/") == "ok"
        until(lambda: len(site.workers()) == 3, "three workers")
        assert sorted(site.workers().values()) == [f"bigtop: worker {n} [shop]" for n in (1, 2, 3)]
        assert list(site.fork_servers().values()) == ["bigtop: fork server [shop] gen 1"]
        assert " ".join(psutil.Process(site.pid).cmdline()).strip() == "bigtop: supervisor [shop]"
        inodes = {_socket_inode(pid, site.port) for pid in site.workers()}
        assert len(inodes) == 1
        # Workers are the supervisor's own children, not the fork server's.
        assert {psutil.Process(pid).ppid() for pid in site.workers()} == {site.pid}
        assert site.stop() == 0
        until(site.is_gone, "everything to be gone")


def _socket_inode(pid: int, port: int) -> int:
    """Return the inode of the listening socket on `port` that process `pid` has open."""
    table = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    inodes = {
        int(row.split()[9])
        for row in table
        if row.split()[3] == "0A" and int(row.split()[1].rpartition(":")[2], 16) == port
    }
    mine = set(descriptors(pid).values())
    (inode,) = [inode for inode in inodes if f"socket:[{inode}]" in mine]
    return inode


def test_the_summary_tells_what_runs() -> None:
    with Site(APP, "--workers", "2", "--threads", "3") as site:
        site.wait_for("kill -HUP")
        log = site.log()
        assert re.search(r"application\s+tests\.apps\.site:app \(WSGI\)", log)
        assert re.search(r"workers\s+2 x 3 threads", log)
        assert re.search(r"preloaded\s+yes", log)
        assert site.url in log.partition("serves")[2]


@pytest.mark.parametrize("preload", ["on", "off"])
def test_an_application_that_cannot_be_imported_ends_with_3_and_its_traceback(
    preload: str, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("import os\nos.no_such_thing\n")
    site = Site("broken:app", "--preload", preload, "--pythonpath", str(tmp_path), "--workers", "2")
    site.start()
    assert site.wait() == 3
    assert "AttributeError: module 'os' has no attribute 'no_such_thing'" in site.log()
    assert 'broken.py", line 2' in site.log()
    assert "bigtop/" not in site.log().partition("Traceback")[2].partition("AttributeError")[0]
    with socket.socket() as again:
        again.bind(("127.0.0.1", site.port))


def test_a_missing_application_is_one_message() -> None:
    site = Site("tests.apps.site:no_such_app")
    site.start()
    assert site.wait() == 3
    assert "Traceback" not in site.log()
    assert "no_such_app" in site.log()


def test_a_taken_address_is_one_message_and_status_1() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        site = Site(APP, bind=f"127.0.0.1:{holder.getsockname()[1]}")
        site.start()
        assert site.wait() == 1
        assert f"{os.getpid()}" in site.log()  # who holds it
        assert "Traceback" not in site.log()


def test_term_finishes_what_is_open() -> None:
    with (
        Site(APP, "--graceful-timeout", "60") as site,
        socket.create_connection(("127.0.0.1", site.port)) as client,
    ):
        over = site.folder / "over"
        client.sendall(f"GET /until?{over} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        until(lambda: _busy(site), "the request to be read")
        site.family()
        site.send(signal.SIGTERM)
        site.wait_for("stopping when open requests are answered")
        over.touch()
        assert site.wait() == 0, "long before the grace is over"
        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
        until(site.is_gone, "everything to be gone")


def _busy(site: Site) -> bool:
    """Whether the application answers a request."""
    return any(view.running() for view in site.scoreboard.values())


@pytest.mark.parametrize("app", ["tests.apps.wsgi_basic:app", "tests.apps.asgi_basic:app"])
@pytest.mark.parametrize("seen", ["SIGHUP: reloading", "another fork server", "another worker"])
def test_term_in_the_middle_of_a_reload_is_no_error(app: str, seen: str) -> None:
    with Site(app, "--workers", "2") as site:
        old = site.fork_servers().keys() | site.workers().keys()
        site.send(signal.SIGHUP)
        if seen == "another fork server":
            until(lambda: site.fork_servers().keys() - old, seen)
        elif seen == "another worker":
            until(lambda: site.workers().keys() - old, seen)
        else:
            site.wait_for(seen)
        assert site.stop() == 0
        assert not [line for line in site.log().splitlines() if line[:1] == "[" and "[INFO]" not in line]
        assert site.is_gone()


def test_int_is_quick() -> None:
    with (
        Site(APP, "--graceful-timeout", "60") as site,
        socket.create_connection(("127.0.0.1", site.port)) as client,
    ):
        client.sendall(b"GET /sleep/50 HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: _busy(site), "the request to be read")
        assert site.stop(signal.SIGINT) == 0, "long before the grace is over"
        assert "worker 1 (pid" not in site.log(), "nobody was killed"
        until(site.is_gone, "everything to be gone")


def test_the_graceful_timeout_is_kept() -> None:
    with (
        Site(APP, "--graceful-timeout", "0.5") as site,
        socket.create_connection(("127.0.0.1", site.port)) as client,
    ):
        client.sendall(b"GET /sleep/50 HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: _busy(site), "the request to be read")
        assert site.stop(signal.SIGTERM) == 0, "long before the request is answered"
        assert "worker 1 (pid" not in site.log(), "nobody was killed"
        until(site.is_gone, "everything to be gone")


def test_a_second_signal_forces() -> None:
    with (
        Site(APP, "--graceful-timeout", "60") as site,
        socket.create_connection(("127.0.0.1", site.port)) as client,
    ):
        client.sendall(b"GET /sleep/50 HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: _busy(site), "the request to be read")
        site.family()
        site.send(signal.SIGTERM)
        site.wait_for("stopping when open requests are answered")
        asked = time.monotonic()
        until(lambda: time.monotonic() > asked + 0.4, "the time in which two signals are one")
        site.send(signal.SIGTERM)
        site.wait_for("killing what is left")
        assert site.wait() == 0
        until(site.is_gone, "everything to be gone")


def test_a_killed_supervisor_leaves_nothing_and_its_workers_finish() -> None:
    with Site(APP, "--workers", "2") as site:
        until(lambda: len(site.workers()) == 2, "two workers")
        with socket.create_connection(("127.0.0.1", site.port)) as client:
            over = site.folder / "over"
            client.sendall(f"GET /until?{over} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            until(lambda: _busy(site), "the request to be read")
            os.kill(site.pid, signal.SIGKILL)
            site.process.wait()
            over.touch()
            assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
        until(site.is_gone, "everything to be gone")


def test_a_killed_supervisor_with_a_hung_application_leaves_nothing() -> None:
    with (
        Site(APP, "--graceful-timeout", "0.5") as site,
        socket.create_connection(("127.0.0.1", site.port)) as client,
    ):
        client.sendall(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: _busy(site), "the request to be read")
        site.family()
        os.kill(site.pid, signal.SIGKILL)
        site.process.wait()
        until(site.is_gone, "everything to be gone")


def test_what_the_application_left_behind_is_ended_with_the_site() -> None:
    with Site(APP) as site:
        orphan = int(site.get("/orphan"))
        assert psutil.Process(orphan).ppid() == site.pid
        site.stop()
        assert not psutil.pid_exists(orphan)


@pytest.mark.case("B8")
def test_the_pidfile_is_held_and_removed(tmp_path: Path) -> None:
    pidfile = tmp_path / "site.pid"
    with Site(APP, "--pid", str(pidfile)) as site:
        assert int(pidfile.read_text()) == site.pid
        second = Site(APP, "--pid", str(pidfile))
        second.start()
        assert second.wait() == 4
        assert f"already runs as process {site.pid}" in second.log()
        assert site.stop() == 0
        assert not pidfile.exists()


def test_as_pid_1_it_reaps_strangers() -> None:
    if subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True).returncode:
        pytest.skip("needs the right to make a PID namespace")
    site = Site(APP)
    site.command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", *site.command]
    with site:
        orphan_inside = int(site.get("/orphan"))
        (inner,) = psutil.Process(site.pid).children()
        orphan = next(child for child in inner.children() if _pid_inside(child.pid) == orphan_inside)
        orphan.kill()
        until(lambda: not psutil.pid_exists(orphan.pid), "the stranger to be reaped")
        inner.send_signal(signal.SIGTERM)
        assert site.wait() == 0


def _pid_inside(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("NSpid:")[2].split("\n")[0].split()[-1])


def test_a_unix_socket_is_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "site.sock"
    with Site(APP, bind=f"unix:{path}") as site:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
        site.family()
        site.send(signal.SIGTERM)
        assert site.wait() == 0
        assert not path.exists()


def test_systemd_socket_activation(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        starter = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_FDS='1', "
            "LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES='web'); os.execv(sys.executable, "
            "[sys.executable, '-m', 'bigtop', 'serve', 'tests.apps.site:app'])"
        )
        os.set_inheritable(listener.fileno(), True)
        log = (tmp_path / "log").open("wb")
        process = subprocess.Popen(
            [sys.executable, "-c", starter, str(listener.fileno())],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            close_fds=False,
        )
        log.close()
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
        finally:
            process.terminate()
            assert process.wait(DEADLINE) == 0


def test_the_library_serves_too(tmp_path: Path) -> None:
    site = Site(APP)
    site.command = [
        sys.executable,
        "-c",
        "import bigtop; raise SystemExit(bigtop.serve('tests.apps.site:app', workers=2, bind='127.0.0.1:0'))",
    ]
    with site:
        assert site.get("/") == "ok"
        assert site.stop() == 0


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_term_during_load_loses_nothing(tmp_path: Path, scheme: str) -> None:
    tls = () if scheme == "http" else ("--tls", written(tmp_path, made("localhost")))
    by = context() if tls else None
    with Site(APP, "--workers", "2", *tls) as site, Load(site.port, 50, tls=by) as load:
        until(lambda: load.answered > 500, "some answers")
        site.family()
        load._over = True
        site.send(signal.SIGTERM)
        assert site.wait() == 0
    assert load.failures == []


STACK = """
[app.site]
app = "tests.apps.site:app"
bind = "127.0.0.1:0"
workers = 2
"""


def test_a_stack_that_ends_refuses_new_clients_and_answers_those_who_wait() -> None:
    with Stack(STACK) as stack, Gate() as gate, ExitStack() as opened:
        stack.wait_for("site: started")
        port = int(stack.log().partition("listening on http://127.0.0.1:")[2].split()[0])
        clients = [opened.enter_context(Client(("127.0.0.1", port))) for _ in range(2)]
        for client in clients:
            client.send(request(gate.target))
        until(lambda: gate.entered() == 2, "both workers are busy")
        waiting = [opened.enter_context(Client(("127.0.0.1", port))) for _ in range(20)]
        for client in waiting:
            client.send(request("/pid"))
        stack.send(signal.SIGTERM)
        until(lambda: _is_refused(port), "new clients are refused")
        gate.open()
        assert {client.answer().status for client in (*clients, *waiting)} == {200}
        for client in (*clients, *waiting):
            client.close()
        assert stack.wait() == 0


def _is_refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
