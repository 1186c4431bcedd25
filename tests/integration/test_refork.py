# A worker that has served becomes the fork server, in real processes: what that gains, and when it is not
# done.

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.support.load import Load
from tests.support.site import ROOT, Site, until


def test_all_are_forked_from_one_that_has_served(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/control"
    more = ["--workers", "3", "--refork", "40", "--threads", "2", "--control", str(tmp_path / "control")]
    with Site("tests.apps.warming:app", *more, "--access-logfile", str(tmp_path / "access")) as site:
        (first,) = site.fork_servers()
        before, plain = site.workers(), _open_in(first)
        with Load(site.port, 6) as load:
            site.wait_for("after as many requests a worker has")
        assert not load.failures
        (server,) = site.fork_servers()
        until(lambda: len(site.workers()) == 3, "the end of the old workers")
        assert server in before, "it was a worker"
        assert not set(before) & set(site.workers())
        assert all(psutil.Process(pid).ppid() == site.pid for pid in (server, *site.workers()))
        assert site.get("/cold") == "False"
        # It keeps nothing of what made it a worker, and has one thread.
        assert _open_in(server) == plain
        assert psutil.Process(server).num_threads() == 1
        # Who dies has a successor that has the cache, too.
        os.kill(next(iter(site.workers())), signal.SIGKILL)
        site.wait_for("replaced at once")
        until(lambda: len(site.workers()) == 3, "the successor")
        assert {site.get("/cold") for _ in range(12)} == {"False"}
        told = _ctl(endpoint, "generations")
        (generation,) = json.loads(_ctl(endpoint, "--json", "generations"))["generations"]
        gain = generation["refork"]
        assert (generation["generation"], generation["pid"], gain["of"]) == (2, server, 1)
        assert 0 < gain["after"] < gain["before"]
        assert 0 < gain["warm"] < gain["before"]
        assert "A WORKER'S" in told
        assert " → " in told
        # New code is imported, and may be forked anew later.
        site.send(signal.SIGHUP)
        site.wait_for("reloaded, every worker is of generation 3 now")
        until(lambda: server not in site.fork_servers(), "the end of that fork server")
        site.send(signal.SIGTERM)
        assert site.wait() == 0


def test_why_not(tmp_path: Path) -> None:
    with Site("tests.apps.warming:app", "--workers", "2", "--refork", "30") as site:
        seen = set()
        while len(seen) < 2:
            seen.add(site.get(f"/leave?{site.port}&{tmp_path}/site.db"))
        with Load(site.port, 4) as load:
            site.wait_for("not reforked, there is no generation 2 and 1 goes on: requests have left ")
        assert not load.failures
        (line,) = [line for line in site.log().splitlines() if "not reforked" in line]
        left = re.escape(f"1 open file ({tmp_path}/site.db)")
        what = rf"1 thread \(poller\), 1 connection \(to 127\.0\.0\.1:{site.port}\), {left}, a child process"
        assert re.search(rf"requests have left {what}$", line), line
        until(lambda: len(site.workers()) == 2, "two workers")
        assert len(site.fork_servers()) == 1
        assert "died" not in site.log()


def test_django_closes_the_connections_that_it_keeps(tmp_path: Path) -> None:
    database = {"DATABASE": str(tmp_path / "site.db")}
    more = ["--workers", "2", "--threads", "2", "--refork", "20"]
    with Site("tests.apps.kept_connection:app", *more, env=database) as site:
        with Load(site.port, 4) as load:
            site.wait_for(" reforked, ")
        assert not load.failures
        assert "not reforked" not in site.log()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--preload", "off"], "no --preload off"),
        (["--backend", "asgi"], "its event loop is not one that lasts"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(more: list[str], words: str) -> None:
    command = [sys.executable, "-m", "bigtop", "serve", "tests.apps.warming:app", "--refork", *more]
    done = subprocess.run(
        [*command, "--check-config"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 78
    assert words in done.stderr


def _open_in(pid: int) -> list[str]:
    """Return what kinds of things a process has open, each as often as it has it."""
    links = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):
            links.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return sorted(link.partition("[")[0].partition(" ")[0] for link in links)


def _ctl(endpoint: str, *words: str) -> str:
    command = [sys.executable, "-m", "bigtop", "ctl", "--endpoint", endpoint, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
