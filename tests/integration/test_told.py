# What is told of start, end and clients: failures are, clients that leave are not.

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.support.site import Site, until
from tests.support.wire import Client, request

APP = "tests.apps.ending:lifespan"


@pytest.mark.case("A8")
@pytest.mark.parametrize("how", ["raises", "exits"])
@pytest.mark.parametrize(
    "args",
    [
        (),
        ("--preload", "off"),
        ("--mount", "/below=tests.apps.ending:wsgi"),
        ("--lifespan", "on"),
        *(("--backend", name) for name in ("uvicorn", "hypercorn", "granian")),
    ],
)
def test_a_start_up_that_fails_ends_with_3_and_says_why(how: str, args: tuple[str, ...]) -> None:
    site = Site(APP, "--workers", "2", *args, env={"TEST_LIFESPAN": how})
    with site.attempt():
        assert site.wait() == 3
    said = "RuntimeError: db down" if how == "raises" else "it called sys.exit(7)"
    assert f"the application failed to start: {said}" in site.log()
    assert 'tests/apps/ending.py", line' in site.log(), "its traceback"


@pytest.mark.case("A8")
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("unknown", ""),
        ("raises at the end", "RuntimeError: cannot flush"),
        ("exits at the end", "SystemExit: 7"),
        ("raises after the end", "RuntimeError: cannot close"),
    ],
)
def test_what_fails_at_the_end_is_told(how: str, said: str) -> None:
    with Site(APP, env={"TEST_LIFESPAN": how}) as site:
        assert site.get("/pid").isdigit()
        assert site.stop() == 0
        assert ("the application failed" in site.log()) == bool(said)
        assert said in site.log()


@pytest.mark.case("F3")
@pytest.mark.parametrize(
    ("app", "path", "half"),
    [
        ("leaving", "/returns", True),
        ("leaving", "/returns", False),
        ("leaving", "/raises", True),
        ("leaving", "/begun-raises", False),
        ("leaving", "/begun-groups", False),
        ("leaving", "/begun-returns", True),
        ("piping", "/", False),
        ("piping", "/wrapped", False),
    ],
)
def test_a_client_that_leaves_is_no_error(app: str, path: str, half: bool, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.touch()
    with Site(f"tests.apps.ending:{app}", env={"TEST_NOTES": str(notes)}) as site:
        with Client(("127.0.0.1", site.port)) as client:
            client.send(request(path))
            until(lambda: "begun" in notes.read_text(), "the request to begin")
            if half:
                client.socket.shutdown(socket.SHUT_WR)
                client.rest()
        until(lambda: "left" in notes.read_text(), "the application to be told")
        assert site.stop(signal.SIGTERM) == 0
        assert "ERROR" not in site.log()
        assert "WARNING" not in site.log()
        assert "Traceback" not in site.log()


@pytest.mark.case("F3")
def test_a_websocket_whose_client_leaves_is_no_error(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.touch()
    with Site("tests.apps.ending:leaving", env={"TEST_NOTES": str(notes)}) as site:
        with connect(f"ws://127.0.0.1:{site.port}/", proxy=None):
            until(lambda: "begun" in notes.read_text(), "the WebSocket to be accepted")
        until(lambda: "left" in notes.read_text(), "the application to be told")
        assert site.stop(signal.SIGTERM) == 0
        assert "ERROR" not in site.log()
        assert "Traceback" not in site.log()
