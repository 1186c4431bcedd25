# Processes of multiprocessing's that a worker started and that are not daemonic: Python waits for them at its
# end, for as long as they take, and Bigtop does not.

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.support.site import DEADLINE, Site, until
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


def test_children_have_the_time_of_open_requests(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    with Site("tests.apps.parent:wsgi", "--graceful-timeout", "3", env={"TEST_NOTES": str(notes)}) as site:
        quick, child = int(site.get("/0.4")), int(site.get("/60"))
        until(lambda: notes.exists() and notes.read_text().count("begun") == 2, "both")
        assert site.stop() == 0
        assert site.log().count(LINE.format(child)) == 1
        killed = f"export (pid {child}) is killed: still there 1 seconds after it was asked to end"
        assert site.log().count(killed) == 1
        assert not psutil.pid_exists(child)
        assert not psutil.pid_exists(quick)
        assert notes.read_text().split("\n")[2:4] == ["finished", "exit handler"]
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
            with urllib.request.urlopen(
                f"http://127.0.0.1:{socket['port']}/60", timeout=DEADLINE
            ) as response:
                children.append(int(response.read()))
        assert len(children) == len(kinds)
        assert stack.stop() == 0
        for child in children:
            assert stack.log().count(LINE.format(child)) == 1
        assert "Timeout" not in stack.log()
