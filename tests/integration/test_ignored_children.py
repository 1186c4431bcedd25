# SIGCHLD is ignored: by the application's import, in a worker, by whoever started Bigtop. The kernel collects
# children itself then, and all goes on as if it did not.

from __future__ import annotations

import os
import signal
import sys

import pytest

from tests.support.site import Site, until
from tests.support.stack import Stack

pytestmark = pytest.mark.case("A15")
APP = "tests.apps.deaf:app"
IGNORING = ["env", "--ignore-signal=CHLD"]


def goes_on(site: Site) -> None:
    """Whatever a site does with processes works: a death, a reload, one worker more, a stop."""
    site.wait_for("kill -HUP")
    pid = int(site.get().split()[0])
    os.kill(pid, signal.SIGKILL)
    site.wait_for("died with signal 9")
    until(lambda: pid not in site.workers() and site.workers(), "a new worker")
    site.send(signal.SIGHUP)
    site.wait_for("reloaded")
    site.send(signal.SIGTTIN)
    until(lambda: len(site.workers()) == 2, "a second worker")
    assert site.get()
    assert site.stop() == 0
    assert "Traceback" not in site.log()


@pytest.mark.parametrize("preload", ["on", "off"])
def test_by_the_import(preload: str) -> None:
    with Site(APP, "--preload", preload, env={"DEAF": "at import"}) as site:
        assert site.get().split()[1] == "SIG_IGN"
        goes_on(site)


def test_by_a_worker() -> None:
    with Site(APP, "--main-thread") as site:  # no other one may ask for it
        assert site.get().split()[1:] == ["SIG_DFL", "0"]
        assert site.get("/ignore").split()[1] == "SIG_IGN"
        goes_on(site)


def test_by_who_started_the_supervisor() -> None:
    site = Site(APP)
    site.command[:0] = IGNORING
    with site:
        assert site.get().split()[1:] == ["SIG_DFL", "0"]
        goes_on(site)


def test_by_who_started_bigtop_run() -> None:
    stack = Stack("[watcher.once]\ncmd = \"sh -c 'exit 7'\"\nrespawn = false\n")
    stack.command[:0] = IGNORING
    with stack:
        stack.wait_for("exit status 7")
        assert stack.stop() == 0


def test_by_a_program_that_calls_serve() -> None:
    site = Site(APP)
    code = (
        "import signal, sys, bigtop; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        f"sys.exit(bigtop.serve('{APP}', bind='127.0.0.1:0'))"
    )
    site.command = [sys.executable, "-c", code]
    with site:
        goes_on(site)
