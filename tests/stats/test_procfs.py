# Files of /proc that are kept open: what is read there is what is read anew, and few are open.

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from bigtop.stats.processes import procfs
from bigtop.stats.processes.procfs import StatFiles
from tests.support.site import until


@pytest.fixture
def sleepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes = [subprocess.Popen(["sleep", "600"]) for _ in range(6)]
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def open_files() -> int:
    """Return how many files of /proc this process has open."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{name}").endswith("/stat")
        except FileNotFoundError:  # that of the listing itself
            continue
    return found


def test_what_is_read_is_what_is_read_anew(sleepers: list[subprocess.Popen[bytes]]) -> None:
    pids = {process.pid for process in sleepers}
    files = StatFiles()
    until(lambda: files.of(pids) == procfs.of(pids), "processes that have begun to sleep")
    assert files.of(pids).keys() == pids

    def are_the_same_objects() -> bool:
        first, again = files.of(pids), files.of(pids)
        return all(again[pid] is first[pid] for pid in pids)

    until(are_the_same_objects, "processes that sleep, of which nothing is read anew")
    files.close()
    assert open_files() == 0


def test_of_one_that_works_the_new_figures_are_told() -> None:
    files, me = StatFiles(), os.getpid()
    before = files.of({me})[me].cpu
    until(lambda: files.of({me})[me].cpu > before, "more time of the CPU")
    files.close()


def test_no_more_files_are_open_than_may_be(sleepers: list[subprocess.Popen[bytes]]) -> None:
    pids = {process.pid for process in sleepers}
    files = StatFiles(most=2)
    until(lambda: files.of(pids) == procfs.of(pids), "processes that have begun to sleep")
    assert open_files() == 2
    left = set(list(pids)[:1])
    assert files.of(left).keys() == left
    assert open_files() <= 1
    none = StatFiles(most=0)
    assert none.of(pids).keys() == pids
    files.close()
    assert open_files() == 0


def test_who_is_gone_is_not_told_of_and_holds_nothing(sleepers: list[subprocess.Popen[bytes]]) -> None:
    pids = {process.pid for process in sleepers}
    files = StatFiles()
    assert files.of(pids).keys() == pids
    victim = sleepers[0]
    victim.kill()
    victim.wait()
    assert files.of(pids).keys() == pids - {victim.pid}
    assert open_files() == len(pids) - 1
    files.close()


def test_half_of_the_descriptors_are_left() -> None:
    soft = procfs.resource.getrlimit(procfs.resource.RLIMIT_NOFILE)[0]
    assert StatFiles()._most == soft // 2
