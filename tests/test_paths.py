# The paths of docs/explanation/architecture.md, followed in running processes.
#
# What is written there in front of a step must be called, in that order. Every file of ours that runs is
# counted, and has a mark in the column of its path in the table of files; no path may have more calls, or go
# from file to file more often, than the table of figures says. Who makes a path shorter lowers its figures.

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.site import DEADLINE, ROOT, Site, until
from tests.support.wire import Client

PAGE = (ROOT / "docs/explanation/architecture.md").read_text()
SECONDS = 3  # of idleness


def section(title: str) -> str:
    return PAGE.partition(f"\n### {title}\n")[2].partition("\n#")[0]


def table(title: str) -> list[dict[str, str]]:
    """The rows of the table below a heading, by the names of its columns."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section(title).splitlines()
        if line.startswith("|")
    ]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


FIGURES = {row["path"]: row for row in table("How long they are")}
FILES = table("Every file that runs")


def marked(path: str) -> set[str]:
    return {row["file"].strip("`") for row in FILES if row[FIGURES[path]["column"]]}


def check(path: str, lines: list[str], rounds: int = 1, seconds: int = 0) -> None:
    """Compare a path with the calls, MODULE:FUNCTION each, that were seen in so many rounds. Of each of the
    `seconds` that it took at most, an idle one may be a part."""
    files = [line.partition(":")[0] for line in lines]
    rest = iter(files)
    wanted = re.findall(r"^\d\. `([^`]+\.py)`", section(path), re.MULTILINE)
    assert [name for name in wanted if name in rest] == wanted  # `in` goes on where it found the last one
    idle = FIGURES["An idle second"]
    assert set(files) - marked(path) - (marked("An idle second") if seconds else set()) == set(), "no mark"
    crossings = sum(one != other for one, other in itertools.pairwise(files))
    for name, count in (("calls", len(lines)), ("crossings", crossings)):
        assert count / rounds <= int(FIGURES[path][name]) + seconds * int(idle[name]), name


def undisturbed(once: Callable[[], None]) -> None:
    """Check until it is right once: a path is as long as it is when nobody was held up on the way, however
    many tries that takes on a busy machine."""
    end = time.monotonic() + 2 * DEADLINE
    while True:
        try:
            once()
        except AssertionError:
            if time.monotonic() > end:
                raise
        else:
            return


@pytest.mark.parametrize("row", FIGURES.values(), ids=FIGURES)
def test_the_figures_are_of_the_files_that_have_a_mark(row: dict[str, str]) -> None:
    assert int(row["files"]) == len(marked(row["path"]))
    assert all((ROOT / "bigtop" / name).exists() for name in marked(row["path"]))


@pytest.mark.parametrize(
    ("path", "app", "first"),
    [
        ("A request, WSGI", "tests.apps.profiled:app", "RequestFlow.read"),
        ("A request, ASGI", "tests.apps.profiled_asgi:app", "BufferedTransport.on_readable"),
    ],
)
def test_a_request(path: str, app: str, first: str) -> None:
    rounds = 10

    def measured() -> list[str] | None:
        """Return what ran from inside the first call of the application to inside the last: so many whole
        rounds."""
        client.get("/start")
        for _ in range(rounds - 1):
            client.get("/")
        found: list[str] | None = json.loads(client.get("/stop").body)
        return found

    with Site(app) as site, Client(("127.0.0.1", site.port), 30) as client:
        client.get("/")  # what is remembered of it is known then

        def once() -> None:
            lines: list[str] = []
            until(lambda: lines.extend(measured() or ()) or lines, "a whole one")
            begin = next(at for at, line in enumerate(lines) if line.endswith(f":{first}"))
            check(path, lines[begin:] + lines[:begin], rounds)

        # A thread that is held up for a while has more to do then: the clock moved, others took over.
        undisturbed(once)


def profiled(folder: Path) -> tuple[Site, Path]:
    """Return a site whose supervisor writes down its calls, and where it does."""
    calls = folder / "calls"
    site = Site("tests.apps.site:app")
    at = site.command.index("bigtop")
    site.command[at : at + 1] = ["tests.support.profiled", str(calls)]
    return site, calls


def control(site: Site, *words: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "bigtop", "ctl", *words],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "XDG_RUNTIME_DIR": str(site.folder),
            "BIGTOP_CTL_ENDPOINT": "tests",  # and not the only one: others may run on this machine
        },
        check=True,
        timeout=60,
    )


def kill_a_worker(site: Site) -> None:
    os.kill(min(site.workers()), signal.SIGKILL)


IDLE = "launch/program.py:_reap_for_ever"  # begins each
PROVED = "generations.py:Generations.prove"  # one more process is ready


@pytest.mark.parametrize(
    ("path", "act", "done"),
    [
        ("A control command", lambda site: control(site, "incr", "tests"), PROVED),
        ("A signal", lambda site: site.send(signal.SIGTTIN), PROVED),
        ("A death", kill_a_worker, PROVED),
        ("A reload", lambda site: site.send(signal.SIGHUP), "ForkServers.discard"),
    ],
)
def test_in_the_supervisor(path: str, act: Callable[[Site], None], done: str, tmp_path: Path) -> None:
    site, calls = profiled(tmp_path)
    with site:
        site.wait_for("kill -HUP")  # the summary comes last
        until(lambda: len(site.workers()) == 1, "the worker")

        def once() -> None:
            lines, seconds = measured(site, calls, act, done)
            check(path, lines, seconds=seconds)

        # What is told piece by piece, because somebody was held up, is taken in piece by piece: more calls.
        undisturbed(once)


def measured(site: Site, calls: Path, act: Callable[[Site], None], done: str) -> tuple[list[str], int]:
    """Return what ran from `act` to `done`, and in how many seconds at most."""
    control(site, "list")  # the first command, whichever, brings the modules of all
    before, began = calls.stat().st_size, time.monotonic()
    act(site)
    until(lambda: done in calls.read_text()[before:], done)
    lines, took = calls.read_text()[before:].split(), time.monotonic() - began
    at = next(at for at, line in enumerate(lines) if done in line)
    control(site, "set", "tests", "numprocesses", "1", "--waiting")
    control(site, "reload", "tests", "--waiting")  # then nothing of it is under way any more
    return lines[: at + 1], int(took) + 1


def test_an_idle_second(tmp_path: Path) -> None:
    site, calls = profiled(tmp_path)
    with site:
        site.wait_for("kill -HUP")
        until(lambda: len(site.workers()) == 1, "the worker")
        # Whoever waits for the start is told of it at the end of that turn.
        until(lambda: IDLE in calls.read_text().partition("Notifier.ready")[2], "an idle second")
        before, began = calls.stat().st_size, time.monotonic()
        time.sleep(SECONDS)  # what is measured, not what is waited for
        lines, took = calls.read_text()[before:].split(), time.monotonic() - began
    check("An idle second", lines, int(took) + 1)  # the edges of the measured time may have one each
