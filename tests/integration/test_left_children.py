# Processes of multiprocessing's that a worker started and that are not daemonic: Python waits for them at its
# end, for as long as they take, and Bigtop does not.

from __future__ import annotations

import re
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.support.site import Site, until
from tests.support.stack import Stack

pytestmark = pytest.mark.case("C4")

LINE = "the worker ends without waiting longer for its child processes: export (pid {})"
APP = """
[socket.{name}]
host = "127.0.0.1"
port = 0

[app.{name}]
app = "tests.apps.parent:{interface}"
backend = "{name}"
sockets = ["{name}"]
graceful_timeout = 1
"""


def test_a_child_has_the_time_of_open_requests(tmp_path: Path) -> None:
    notes = {"TEST_NOTES": str(tmp_path / "notes")}
    with Site("tests.apps.parent:wsgi", "--graceful-timeout", "1", env=notes) as site:
        child = int(site.get("/60"))
        began = time.monotonic()
        assert site.stop() == 0
        assert time.monotonic() - began < 6
        assert site.log().count(LINE.format(child)) == 1
        assert not psutil.pid_exists(child)
        assert "exit handler" in (tmp_path / "notes").read_text()
        said = site.log().partition("stopping")[2]
        assert not re.search("Timeout|Traceback|File |exit handlers|left behind", said)


def test_whatever_the_worker_is() -> None:
    kinds = {"wsgi": "wsgi", "gevent": "wsgi", "asgi": "asgi"}
    text = "".join(APP.format(name=name, interface=kinds[name]) for name in kinds)
    with Stack(text) as stack:
        for name in kinds:
            stack.wait_for(f"{name}: started")
        children = []
        for socket in stack.asked("listsockets")["sockets"]:
            with urllib.request.urlopen(f"http://127.0.0.1:{socket['port']}/60", timeout=10) as response:
                children.append(int(response.read()))
        began = time.monotonic()
        assert len(children) == len(kinds)
        assert stack.stop() == 0
        assert time.monotonic() - began < 6
        for child in children:
            assert stack.log().count(LINE.format(child)) == 1
        assert "Timeout" not in stack.log()


def test_a_child_that_ends_in_time_is_waited_for(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    with Site("tests.apps.parent:wsgi", env={"TEST_NOTES": str(notes)}) as site:
        site.get("/0.5")
        until(lambda: notes.exists() and "begun" in notes.read_text(), "the child")
        assert site.stop() == 0
        assert "finished" in notes.read_text()
        assert "without waiting" not in site.log()
