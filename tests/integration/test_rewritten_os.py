# Applications that wrap what starts processes, and programs that applications start.

from __future__ import annotations

import os
import signal

import pytest

from tests.support.procfs import descriptors
from tests.support.site import Site, until


@pytest.mark.case("F4")
@pytest.mark.parametrize("extra", ["", "LISTENING", "DEBUGPY"])
def test_a_fork_server_uses_what_it_took_before_the_import(extra: str) -> None:
    """It forks, or, where the import leaves a socket or threads, it starts over by exec."""
    if extra == "DEBUGPY":
        pytest.importorskip("debugpy")
    with Site("tests.apps.wrapped:app", env={extra: "1"} if extra else None) as site:
        site.wait_for("kill -HUP")
        assert ("so each worker imports it for itself" in site.log()) is bool(extra)
        pid = int(site.get())
        if extra != "DEBUGPY":  # which takes seconds for each import
            os.kill(pid, signal.SIGKILL)
            until(lambda: pid not in site.workers() and site.workers(), "a new worker")
            assert int(site.get()) != pid
            site.send(signal.SIGHUP)
            site.wait_for("reloaded")
            assert site.get()
        assert site.stop() == 0
        assert "wrapper of" not in site.log()
        assert "Traceback" not in site.log()


@pytest.mark.case("E17")
@pytest.mark.parametrize(("preload", "listening"), [("on", False), ("off", False), ("auto", True)])
def test_programs_of_an_application_inherit_nothing_of_ours(preload: str, listening: bool) -> None:
    """Also where the fork server starts over, which passes everything on to itself."""
    words = ("--preload", preload, "--workers", "2", "-e", "KEY=hidden")
    with Site("tests.apps.starter:app", *words, env={"LISTENING": "1"} if listening else None) as site:
        for path in ("/import", "/call"):
            assert site.get(path) == ""
        for pid in (*site.workers(), *site.fork_servers()):
            held = descriptors(pid).values()
            assert not any("bigtop-bootstrap" in name for name in held), "orders are kept"
