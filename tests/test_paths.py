# The paths of docs/explanation/architecture.md, followed in running processes.
#
# What is written there in front of a step must be called, in that order, and nothing of Bigtop's may be
# called that is named neither there nor under "What they lean on". Long paths are hard to follow: five files
# at most.

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.site import ROOT, Site, until
from tests.support.wire import Client

PAGE = (ROOT / "docs/explanation/architecture.md").read_text()
# Python functions of ours for a GET on an open connection. Each costs 50 to 100 ns, and some of attention.
CALLS_PER_REQUEST = 50


def section(title: str) -> str:
    return PAGE.partition(f"\n### {title}\n")[2].partition("\n#")[0]


def steps(title: str) -> list[str]:
    return re.findall(r"^\d\. `([^`]+)`", section(title), re.MULTILINE)


def check(title: str, lines: list[str]) -> None:
    """Compare a path with the calls, MODULE:FUNCTION each, that were seen."""
    wanted = steps(title)
    assert 4 <= len(wanted) <= 5
    files = [re.sub("^backends/wsgi/.*", "backends/wsgi/", line.partition(":")[0]) for line in lines]
    rest = iter(files)
    assert [name for name in wanted if name in rest] == wanted  # `in` goes on where it found the last one
    leaning = set(re.findall(r"`([\w/]+\.py)`", section("What they lean on")))
    assert set(files) - set(wanted) - leaning == set()


def test_a_request() -> None:
    count = 10
    with Site("tests.apps.profiled:app") as site, Client(("127.0.0.1", site.port)) as client:
        client.get("/start")
        for _ in range(count - 1):
            client.get("/")
        # From inside the first call of the application to inside the last: so many whole rounds.
        lines = json.loads(client.get("/stop").body)
    begins = next(at for at, line in enumerate(lines) if line.endswith("Connection.receive"))
    check("A request", lines[begins:])
    assert len(lines) / count <= CALLS_PER_REQUEST


def _kill_a_worker(site: Site) -> None:
    os.kill(min(site.workers()), signal.SIGKILL)


@pytest.mark.parametrize(
    ("title", "act", "done"),
    [
        ("A signal", lambda site: site.send(signal.SIGTTIN), "generations.py:Generations.prove"),
        ("A death", _kill_a_worker, "generations.py:Generations.prove"),
        ("A reload", lambda site: site.send(signal.SIGHUP), "ForkServers.discard"),
    ],
)
def test_in_the_supervisor(title: str, act: Callable[[Site], None], done: str, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    site = Site("tests.apps.site:app")
    at = site.command.index("bigtop")
    site.command[at : at + 1] = ["tests.support.profiled", str(calls)]
    with site:
        site.wait_for("kill -HUP")  # the summary comes last
        until(lambda: len(site.workers()) == 1, "the worker")
        before = calls.stat().st_size
        act(site)
        until(lambda: done in calls.read_text()[before:], done)
        lines = calls.read_text()[before:].split()
    # A look that comes each second, whatever else happens.
    lines = [line for line in lines if not line.startswith("launch/program.py:_reap_for_ever")]
    if title == "A death":  # that the worker's lifeline ended may be noticed before
        lines = lines[next(at for at, line in enumerate(lines) if line.startswith("supervisor/process.py")) :]
    check(title, lines)
