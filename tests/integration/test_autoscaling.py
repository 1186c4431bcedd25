# Workers and processes that become more with the load, and fewer without.

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from bigtop.control.protocol import RefusedError
from tests.support.site import Site, until
from tests.support.stack import Stack
from tests.support.wire import Client, request


@contextmanager
def load(port: int, path: str, clients: int) -> Iterator[None]:
    """Clients that ask again as soon as they are answered."""
    over = threading.Event()

    def ask() -> None:
        with Client(("127.0.0.1", port)) as client:
            while not over.is_set():
                client.send(request(path))
                assert client.answer().status == 200

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(60)


def test_workers_become_more_while_all_are_busy_and_not_more_than_the_most() -> None:
    with ExitStack() as opened:  # with one thread and with two, at once: it takes its time
        sites = [
            opened.enter_context(Site("tests.apps.wsgi_basic:app", "--workers", "1..3", *more))
            for more in ((), ("--threads", "2"))
        ]
        for site in sites:
            assert len(site.workers()) == 1
            opened.enter_context(load(site.port, "/sleep/0.05", 10))
        for site in sites:
            until(lambda site=site: len(site.workers()) == 3, "all workers that there may be")  # type: ignore[misc]
            assert "tests: 2 processes instead of 1: busy for " in site.log()


def ctl(site: Site, *words: str) -> str:
    command = [sys.executable, "-m", "bigtop", "ctl", *words]
    env = {**os.environ, "XDG_RUNTIME_DIR": str(site.folder), "BIGTOP_CTL_ENDPOINT": "tests"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_number_out_of_new_bounds_is_corrected_and_explained() -> None:
    with Site("tests.apps.wsgi_basic:app", "--workers", "1..4") as site:
        assert ctl(site, "explain", "tests").startswith("1 of 1..4")
        assert ctl(site, "scale", "tests", "3..5", "--waiting") == "3\n"
        until(lambda: len(site.workers()) == 3, "the least")
        assert ctl(site, "explain", "tests").startswith("3 of 3..5")
        assert ctl(site, "scale", "tests", "2", "--waiting") == "2\n"
        until(lambda: len(site.workers()) == 2, "the number that was asked for")
        assert ctl(site, "explain", "tests") == "2: that is the number that was asked for\n"


SLEEPER = """
[watcher.sleeper]
cmd = "sleep 1000"
numprocesses = "2..4"
"""


def test_processes_of_a_command_have_bounds_too_and_a_file_keeps_them() -> None:
    with Stack(SLEEPER) as stack:
        until(lambda: stack.asked("numprocesses", "sleeper")["numprocesses"] == 2, "the least")
        assert stack.asked("explain", "sleeper")["bounds"] == "2..4"
        assert stack.ctl("save", "--dry-run") == "nothing has changed since the file was read\n"
        stack.ctl("incr", "sleeper", "5")
        stack.wait_for("sleeper: 4 processes instead of 7: not within 2..4")
        assert stack.ctl("save", "--dry-run") == "nothing has changed since the file was read\n"
        stack.ctl("scale", "sleeper", "3..5")
        assert 'numprocesses = "3..5"' in stack.ctl("save", "--dry-run")
        with pytest.raises(RefusedError, match=r"8\.\.2.: the first number is the least"):
            stack.call("scale", name="sleeper", count="8..2")


FED = """
[watcher.fed]
cmd = "sleep 1000"
numprocesses = "1..3"
scale_command = "cat {0}/wanted"
scale_interval = 0.2
"""


def test_a_command_says_how_many_processes_are_wanted(tmp_path: Path) -> None:
    wanted = tmp_path / "wanted"
    wanted.write_text("2\n")
    with Stack(FED.format(tmp_path)) as stack:
        stack.wait_for("fed: 2 processes instead of 1: the command asks for 2")
        wanted.write_text("many\n")
        stack.wait_for("fed: the number of processes stays: cat ")
        assert "'many' is no number of processes" in stack.asked("explain", "fed")["held"]
        wanted.unlink()
        stack.wait_for("/wanted: ended with exit status 1")
        wanted.symlink_to("/dev/zero")
        stack.wait_for("/wanted: wrote more than 1048576 bytes")
        wanted.unlink()
        wanted.write_text("7\n")
        stack.wait_for("fed: 3 processes instead of 2: the command asks for 7")
        until(lambda: len(stack.pids("fed")) == 3, "the most that there may be")
        wanted.write_text("1\n")
        until(lambda: len(stack.pids("fed")) == 1, "the least")
