# CPU quotas, read from made-up trees of control groups.

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bigtop.config.serve.cpu_quota import available_cpus, cpu_quota

CPU = "sys/fs/cgroup"

# name: (files, CPUs)
TREES: dict[str, tuple[dict[str, str], float | None]] = {
    "no control groups": ({}, None),
    "v2, none": ({"proc/self/cgroup": "0::/\n"}, None),
    "v2, max": ({"proc/self/cgroup": "0::/\n", f"{CPU}/cpu.max": "max 100000\n"}, None),
    "v2, own group": ({"proc/self/cgroup": "0::/a\n", f"{CPU}/a/cpu.max": "150000 100000\n"}, 1.5),
    "v2, own namespace": ({"proc/self/cgroup": "0::/\n", f"{CPU}/cpu.max": "200000 100000\n"}, 2.0),
    "v2, the smallest on the way up": (
        {
            "proc/self/cgroup": "0::/slice/unit/leaf\n",
            f"{CPU}/slice/unit/leaf/cpu.max": "800000 100000\n",
            f"{CPU}/slice/unit/cpu.max": "max 100000\n",
            f"{CPU}/slice/cpu.max": "50000 25000\n",
            f"{CPU}/other/cpu.max": "10000 100000\n",
        },
        2.0,
    ),
    "v2, outside of our namespace": (
        {"proc/self/cgroup": "0::/../../x\n", f"{CPU}/x/cpu.max": "300000 100000"},
        3.0,
    ),
    "v1, own group": (
        {
            "proc/self/cgroup": "5:memory:/a\n4:cpu,cpuacct:/a\n0::/init.scope\n",
            f"{CPU}/cpu,cpuacct/a/cpu.cfs_quota_us": "250000\n",
            f"{CPU}/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
        },
        2.5,
    ),
    "v1, none": (
        {
            "proc/self/cgroup": "4:cpu:/a\n",
            f"{CPU}/cpu/a/cpu.cfs_quota_us": "-1\n",
            f"{CPU}/cpu/a/cpu.cfs_period_us": "100000\n",
        },
        None,
    ),
    "v1, a container that sees the host's name of its group": (
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/docker/0123\n",
            f"{CPU}/cpu,cpuacct/cpu.cfs_quota_us": "400000\n",
            f"{CPU}/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
        4.0,
    ),
    "v1, a path with a colon": (
        {
            "proc/self/cgroup": "4:cpu:/a:b\n",
            f"{CPU}/cpu/a:b/cpu.cfs_quota_us": "100000",
            f"{CPU}/cpu/a:b/cpu.cfs_period_us": "100000",
        },
        1.0,
    ),
    "nonsense": (
        {"proc/self/cgroup": "what\n0::/a\n", f"{CPU}/a/cpu.max": "lots\n", f"{CPU}/cpu.max": "1 0\n"},
        None,
    ),
}


@pytest.mark.parametrize("name", TREES)
def test_quota(name: str, tmp_path: Path) -> None:
    files, cpus = TREES[name]
    grow(tmp_path, files)
    assert cpu_quota(tmp_path) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [(10_000, 1), (100_000, 1)])
def test_a_part_of_a_cpu_is_one_worker(quota: int, cpus: int, tmp_path: Path) -> None:
    grow(tmp_path, {"proc/self/cgroup": "0::/\n", f"{CPU}/cpu.max": f"{quota} 100000\n"})
    assert available_cpus(tmp_path) == cpus


def test_a_quota_above_the_affinity_does_not_count(tmp_path: Path) -> None:
    grow(tmp_path, {"proc/self/cgroup": "0::/\n", f"{CPU}/cpu.max": "99900000 100000\n"})
    assert available_cpus(tmp_path) == len(os.sched_getaffinity(0)) == available_cpus(tmp_path / "none")


def test_a_fraction_is_rounded_up(tmp_path: Path) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two CPUs")
    grow(tmp_path, {"proc/self/cgroup": "0::/\n", f"{CPU}/cpu.max": "110000 100000\n"})
    assert available_cpus(tmp_path) == 2


def grow(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
