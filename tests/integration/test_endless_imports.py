# Applications whose import does not come to an end: at the first start and at a reload, below serve and run.

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.site import Site
from tests.support.stack import Stack

APP = """
def app(environ, start):
    start("200 OK", [])
    return [b"here"]
"""
ENDLESS = "import threading\nthreading.Event().wait()\n"
FILE = """
[app.endless]
app = "endless:app"
bind = ["127.0.0.1:0"]
boot_timeout = SECONDS
graceful_timeout = 2
"""
Make = Callable[[Path, str], Site]


def serve(folder: Path, seconds: str) -> Site:
    return Site("endless:app", "--boot-timeout", seconds, "--graceful-timeout", "2", cwd=folder)


def run(folder: Path, seconds: str) -> Site:
    return Stack(FILE.replace("SECONDS", seconds), cwd=folder)


def write(folder: Path, text: str) -> None:
    (folder / "endless.py").write_text(text)


def test_a_first_start_ends_with_the_reason(tmp_path: Path) -> None:
    write(tmp_path, ENDLESS)
    with serve(tmp_path, "1").attempt() as site:
        assert site.process.wait(30) == 3
        assert "bigtop: not imported after 1 seconds" in site.log()
        assert not site.fork_servers()


def test_a_first_start_below_run_is_given_up(tmp_path: Path) -> None:
    write(tmp_path, ENDLESS)
    with run(tmp_path, "1") as site:
        site.wait_for("not imported after 1 seconds")


@pytest.mark.parametrize("make", [serve, run])
def test_a_reload_goes_back_to_the_old_code(make: Make, tmp_path: Path) -> None:
    write(tmp_path, APP)
    with make(tmp_path, "5") as site:
        site.wait_for("endless: started")
        write(tmp_path, ENDLESS)
        site.send(signal.SIGHUP)
        site.wait_for("not imported after 5 seconds")
        assert site.get() == "here"
        write(tmp_path, APP.replace("here", "there"))
        site.send(signal.SIGHUP)
        site.wait_for("reloaded, every worker")
        assert site.get() == "there"
