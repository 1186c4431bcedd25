# Workers that the kernel ends, as it does when there is no memory: in a control group with a limit.

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from bigtop.system import oom
from tests.support.site import Site, until
from tests.support.wire import Client

LIMIT = 160 << 20


def limited_group() -> Iterator[Path]:
    """A control group with a limit of memory, of whichever version is here."""
    mounts = Path("/proc/self/mountinfo").read_text()
    counts, limit = oom.places(mounts, Path("/proc/self/cgroup").read_text())
    if not limit:
        pytest.skip("needs a control group that counts memory")
    group = Path(counts).parent / f"bigtop-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / Path(limit).name).write_text(str(LIMIT))
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        pytest.skip(f"needs a control group of its own: {error}")
    try:
        yield group
    finally:
        until(lambda: not (group / "cgroup.procs").read_text(), "the end of all in the group")
        group.rmdir()


group = pytest.fixture(limited_group)


def site_in(group: Path) -> Site:
    site = Site("tests.apps.hungry:app", "--workers", "1")
    enter = f'echo $$ > "{group}/cgroup.procs" && exec "$@"'
    site.command = ["sh", "-c", enter, "sh", *site.command]
    return site


def test_the_kernel_is_named_where_it_ended_a_worker(group: Path) -> None:
    with site_in(group) as site:
        with Client(("127.0.0.1", site.port)) as client:
            client.send(b"GET /grow HTTP/1.1\r\nHost: x\r\n\r\n")
            site.wait_for("replaced at once")
        found = [line for line in site.log().splitlines() if "died with" in line]
        assert len(found) == 1
        assert (
            f"died with signal 9 (the kernel was out of memory of {group}, whose limit is 160 MiB)"
            in found[0]
        )
        (lost,) = [line for line in site.log().splitlines() if "is cut off after" in line]
        assert "GET /grow" in lost
        assert lost.endswith("s: its worker 1 is gone")
        assert site.get("/") == "ok"


def test_who_else_kills_a_worker_is_not_the_kernel(group: Path) -> None:
    with site_in(group) as site:
        os.kill(next(iter(site.workers())), signal.SIGKILL)
        site.wait_for("died with signal 9; replaced at once")


V2 = """\
22 1 0:5 / /proc rw - proc proc rw
30 29 0:26 / {0}/v2 rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate
"""
V1 = """\
31 30 0:27 / {0}/cpu rw - cgroup cgroup rw,cpu
32 30 0:28 / {0}/memory rw - cgroup cgroup rw,memory
"""
CONTAINER = "30 29 0:26 /docker/abc {0}/v2 rw - cgroup2 cgroup2 rw\n"


@pytest.mark.parametrize(
    ("mounts", "groups", "file"),
    [
        (V2, "0::/user.slice/site.service\n", "v2/user.slice/site.service/memory.events"),
        (CONTAINER, "0::/docker/abc/site\n", "v2/site/memory.events"),
        (CONTAINER, "0::/\n", "v2/memory.events"),
        (V1, "5:cpu:/a\n4:memory:/b\n", "memory/b/memory.oom_control"),
        (V1 + V2, "4:memory:/b\n0::/\n", "memory/b/memory.oom_control"),
        (V2, "0::/elsewhere\n", ""),
        (V1, "5:cpu:/a\n", ""),
        ("", "", ""),
    ],
)
def test_where_the_kernel_counts(mounts: str, groups: str, file: str, tmp_path: Path) -> None:
    if file:
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text("low 0\noom 3\noom_kill 2\n")
    counts, limit = oom.places(mounts.format(tmp_path), groups)
    assert counts == (str(tmp_path / file) if file else "/proc/vmstat")
    assert bool(limit) == bool(file)


def test_no_more_deaths_are_the_kernels_than_it_has_counted(tmp_path: Path) -> None:
    (tmp_path / "memory.events").write_text("oom_kill 2\n")
    (tmp_path / "memory.max").write_text("max\n")
    witness = oom.Witness(str(tmp_path / "memory.events"), str(tmp_path / "memory.max"))
    assert witness.of_death(1.0) == ""
    (tmp_path / "memory.events").write_text("oom_kill 4\n")
    assert witness.of_death(2.0) == f"the kernel was out of memory of {tmp_path}"
    assert witness.of_death(2.1) != ""
    assert witness.of_death(2.2) == ""
    (tmp_path / "memory.events").write_text("oom_kill 6\n")
    assert witness.of_death(3.0) != ""
    assert witness.of_death(9.0) == ""  # what it counted then was somebody else
    (tmp_path / "memory.events").unlink()  # the group is gone
    assert witness.of_death(10.0) == ""
