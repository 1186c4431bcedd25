# The reloader by itself, as its parent starts it.

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def reloader(parent: int, folder: Path) -> list[str]:
    return [sys.executable, "-P", "-m", "bigtop.workers.reloader", str(parent), str(folder), "--"]


def test_it_ends_when_its_parent_was_gone_before_it_began(tmp_path: Path) -> None:
    """Its parent by then is whoever takes orphans, here we: nobody would tell it of a death."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    done = subprocess.run(reloader(gone.pid, tmp_path), timeout=30, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
