# Figures of processes: Circus' forms, one pass for many, nothing for those that are gone.

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import psutil
import pytest

from bigtop.stats.processes import procfs, samples
from bigtop.stats.processes.usage import NO_PROCESS, Figures


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0B"), (1023, "1023B"), (1024, "1.00K"), (1_593_836, "1.52M"), (3 * 1024**3, "3.00G")],
)
def test_sizes_read_as_circus_writes_them(count: int, text: str) -> None:
    assert samples.human_size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0:00.00"), (0.2, "0:00.20"), (61.057, "1:01.05"), (3661.5, "61:01.50")]
)
def test_times_read_as_circus_writes_them_and_do_not_wrap(seconds: float, text: str) -> None:
    assert samples.human_time(seconds) == text


@pytest.mark.parametrize(
    ("cmdline", "name"),
    [
        (["/usr/bin/python3", "-m"], "python3"),
        (["bigtop: worker 1 [x]"], "bigtop:"),
        ([], "N/A"),
        (None, "N/A"),
    ],
)
def test_a_program_is_named_without_its_folder(cmdline: list[str] | None, name: str) -> None:
    assert samples.program(cmdline) == name


def test_children_are_below_their_parent_and_the_dead_are_said_to_be() -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess as s; c = s.Popen(['sleep', '60']); print(c.pid, flush=True); c.wait()",
        ],
        stdout=subprocess.PIPE,
    )
    assert parent.stdout
    child = int(parent.stdout.readline())
    dead = subprocess.Popen(["true"])
    dead.wait()
    reader = Figures()
    try:
        found = asyncio.run(reader.of({parent.pid: 1, dead.pid: 2}))
    finally:
        os.kill(child, 9)
        parent.wait()
        parent.stdout.close()
        reader.close()
    assert found[dead.pid] == NO_PROCESS
    figure = found[parent.pid]
    assert isinstance(figure, dict)
    assert figure["wid"] == 1
    assert isinstance(figure["children"], list)
    assert [one["pid"] for one in figure["children"]] == [child]
    assert figure["children"][0]["cmdline"] == "sleep"


def test_the_table_says_what_psutil_says() -> None:
    own = psutil.Process()
    facts = procfs.table()[os.getpid()]
    assert facts.parent == own.ppid()
    assert facts.nice == own.nice()
    assert procfs.owner(facts.pid) == own.uids().real
    assert " ".join(procfs.cmdline(facts.pid)) == " ".join(own.cmdline())
    assert facts.cpu == pytest.approx(sum(own.cpu_times()[:2]), abs=1.0)
    assert facts.rss == pytest.approx(own.memory_info().rss, rel=0.2)
    assert facts.vms == pytest.approx(own.memory_info().vms, rel=0.2)
    assert psutil.boot_time() + facts.born * procfs.TICK == pytest.approx(own.create_time(), abs=1.0)


def test_the_share_of_the_cpu_is_that_since_the_last_look() -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    reader = Figures()

    def share() -> float:
        figure = asyncio.run(reader.of({busy.pid: 1}))[busy.pid]
        assert isinstance(figure, dict)
        return float(str(figure["cpu"]))

    try:
        assert share() == 0.0
        used = psutil.Process(busy.pid).cpu_times().user
        while psutil.Process(busy.pid).cpu_times().user < used + 0.1:
            assert busy.poll() is None
        assert 1.0 < share() <= 110.0
    finally:
        busy.kill()
        busy.wait()
        reader.close()
