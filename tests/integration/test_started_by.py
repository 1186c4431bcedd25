# What whoever started us is told: systemd by datagrams, a --daemon command by a byte.

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.support.procfs import has_ended, words
from tests.support.site import DEADLINE, ROOT, Site, until

APP = "tests.apps.wsgi_basic:app"


class Systemd:
    """Stands where systemd listens."""

    def __init__(self, address: str) -> None:
        self.environ = {"NOTIFY_SOCKET": address}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(DEADLINE)

    def told(self) -> dict[str, str]:
        """Return the next message that is no ping."""
        while True:
            lines = self.socket.recv(4096).decode().splitlines()
            if lines != ["WATCHDOG=1"]:
                return dict(line.split("=", 1) for line in lines)


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@bigtop-test-{os.getpid()}"
    standing = Systemd(address)
    yield standing
    standing.socket.close()


def test_a_site_tells_systemd_about_its_life(systemd: Systemd) -> None:
    with Site(APP, "--name", "shop", env=systemd.environ) as site:
        ready = systemd.told()
        assert (ready["READY"], ready["MAINPID"]) == ("1", str(site.pid))
        assert ready["STATUS"] == f"serving shop on {site.url}"
        site.process.send_signal(signal.SIGHUP)
        reloading = systemd.told()
        assert reloading["RELOADING"] == "1"
        assert int(reloading["MONOTONIC_USEC"]) > 0
        assert systemd.told()["READY"] == "1"
        for worker in site.workers():
            with suppress(psutil.NoSuchProcess):  # one of the old generation
                assert "NOTIFY_SOCKET" not in psutil.Process(worker).environ()
        site.process.terminate()
        assert systemd.told()["STOPPING"] == "1"
        assert site.process.wait(DEADLINE) == 0


def test_the_watchdog_is_fed(systemd: Systemd) -> None:
    # systemd would kill after 0.2 s of silence; the first messages come within that of each other.
    with Site(APP, env={**systemd.environ, "WATCHDOG_USEC": "200000"}):
        for _ in range(5):
            while systemd.socket.recv(4096) != b"WATCHDOG=1":
                pass


def test_no_pings_for_others(systemd: Systemd) -> None:
    with Site(APP, env={**systemd.environ, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}) as site:
        site.process.terminate()
        assert site.process.wait(DEADLINE) == 0
    systemd.socket.setblocking(False)
    said = []
    with suppress(BlockingIOError):
        while True:
            said.append(systemd.socket.recv(4096))
    assert b"WATCHDOG=1" not in said
    assert len(said) >= 2


def test_nobody_listens() -> None:
    with Site(APP, env={"NOTIFY_SOCKET": "/nowhere/at/all"}) as site:
        assert site.get("/") != ""


def test_run_is_ready_when_everything_is(systemd: Systemd, tmp_path: Path) -> None:
    file = tmp_path / "two.toml"
    file.write_text(
        '[watcher.first]\ncmd = "sleep 100"\nready = "delay:0.3"\n\n[watcher.second]\ncmd = "sleep 100"\n'
        'depends = ["first"]\n'
    )
    environ = {**os.environ, **systemd.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-m", "bigtop", "run", str(file)], env=environ) as running:
        try:
            assert systemd.told()["STATUS"] == "2 watchers"
            children = psutil.Process(running.pid).children(recursive=True)
            until(lambda: [*map(words, children)].count(["sleep", "100"]) == 2, "both of them")
        finally:
            running.terminate()
    assert systemd.told()["STOPPING"] == "1"


BROKEN = '[watcher.good]\ncmd = "sleep 100"\n\n[watcher.bad]\ncmd = "no-such-program-anywhere"\n'


def test_run_does_not_wait_for_what_is_tried_for_ever(systemd: Systemd, tmp_path: Path) -> None:
    file = tmp_path / "broken.toml"
    file.write_text(BROKEN)
    environ = {**os.environ, **systemd.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-m", "bigtop", "run", str(file)], env=environ) as running:
        try:
            told = systemd.told()
            assert told["READY"] == "1"
            assert re.fullmatch(
                r"2 watchers; bad: .*no-such-program-anywhere.* tried again in .*", told["STATUS"]
            )
        finally:
            running.terminate()


# ---- --daemon


def bigtop(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end: that of its output, too, which nobody may keep open."""
    return subprocess.run(
        [sys.executable, "-m", "bigtop", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )


def ended(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    until(lambda: has_ended(pid), "the daemon to end")


def test_daemon_returns_when_the_site_is_served(tmp_path: Path) -> None:
    log, pidfile = tmp_path / "log", tmp_path / "pid"
    done = bigtop(
        "serve",
        APP,
        "-b",
        "127.0.0.1:0",
        "-D",
        "--error-logfile",
        str(log),
        "-p",
        str(pidfile),
        "-n",
        "shop-d",
    )
    assert done.returncode == 0, done
    found = re.search("in the background as process ([0-9]+)", done.stdout)
    assert found
    pid = int(found[1])
    try:
        assert pidfile.read_text() == f"{pid}\n"
        assert "shop-d: started" in log.read_text()
        daemon = psutil.Process(pid)
        assert daemon.terminal() is None
        assert os.getsid(pid) == pid
        assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (0, 1, 2)} == {"/dev/null"}
        assert "BIGTOP_DAEMON_FD" not in psutil.Process(daemon.children()[0].pid).environ()
    finally:
        ended(pid)
    assert not pidfile.exists()


def test_daemon_that_cannot_start_says_why_and_how_it_ended() -> None:
    done = bigtop("serve", "no_such_module:app", "-b", "127.0.0.1:0", "--daemon")
    assert done.returncode == 3
    assert "there is no module no_such_module" in done.stderr


def test_circus_flags_of_the_daemon(tmp_path: Path) -> None:
    file, pidfile, log = tmp_path / "one.toml", tmp_path / "pid", tmp_path / "log"
    file.write_text('[watcher.job]\ncmd = "sleep 100"\n')
    pidfile.write_text(f"{os.getpid()}\n")  # of one that was killed; the number is used again
    done = bigtop(
        "run",
        "--daemon",
        "--pidfile",
        str(pidfile),
        "--log-output",
        str(log),
        "--log-level",
        "INFO",
        str(file),
    )
    assert done.returncode == 0, done
    pid = int(pidfile.read_text())
    try:
        assert "job: started" in log.read_text()
        log.rename(tmp_path / "log.1")
        os.kill(pid, signal.SIGUSR1)
        until(lambda: log.exists() and "logs reopened" in log.read_text(), "the new log")
        again = bigtop("run", "--daemon", "--pidfile", str(pidfile), str(file))
        assert again.returncode == 4
        assert f"already runs as process {pid}" in again.stderr
        assert pidfile.read_text() == f"{pid}\n"
    finally:
        ended(pid)
