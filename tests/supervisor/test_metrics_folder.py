# Folders that killed supervisors left behind, in which workers counted for prometheus_client.

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bigtop.launch import metrics_folder


def test_only_what_a_gone_supervisor_of_these_users_left_is_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    namespace, pid, born = metrics_folder._own()
    assert pid == os.getpid()
    secret = "0" * 16
    left = (
        tmp_path / f"bigtop-metrics-{namespace}-{pid}-{born + 1}-{secret}"
    )  # the same number, given out again
    kept = [
        tmp_path / f"bigtop-metrics-{namespace}-{pid}-{born}-{secret}",  # lives
        tmp_path / f"bigtop-metrics-1-{pid}-{born + 1}-{secret}",  # in another container
        tmp_path / f"bigtop-metrics-0-0-0-{secret}",  # nobody knows whose
        tmp_path / f"{left.name}0",  # no name of ours
    ]
    for folder in [left, *kept]:
        folder.mkdir()
        (folder / "counter_1.db").write_bytes(b"")

    metrics_folder._remove_left(str(tmp_path), {os.getuid() + 1})
    assert left.is_dir()  # somebody else's

    with caplog.at_level("INFO", "bigtop"):
        metrics_folder._remove_left(str(tmp_path), {os.getuid()})
    assert f"removed {left}, which a supervisor left that was killed" in caplog.text
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    assert all((folder / "counter_1.db").exists() for folder in kept)
