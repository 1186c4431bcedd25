# Tests in which root gives a process to somebody with fewer rights.

from __future__ import annotations

import functools
import os
import subprocess
import sys
import sysconfig

from tests.support.site import ROOT

NOBODY = 65534


@functools.cache
def python_for_nobody() -> tuple[str, dict[str, str]] | None:
    """Return an interpreter that the user nobody can run Bigtop with, and the environment for it; None where
    there is none, or where we are not root. An interpreter in root's home is out of reach."""
    if os.geteuid() != 0:
        return None
    path = f"{ROOT}:{sysconfig.get_path('purelib')}"
    for program in (sys.executable, f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"):
        env = {"PYTHONPATH": path if program != sys.executable else str(ROOT)}
        if _runs(program, env):
            return program, env
    return None


def _runs(program: str, env: dict[str, str]) -> bool:
    words = "import secrets, zmq, psutil, setproctitle, click, wsproto, cronsim, bigtop"
    try:
        tried = subprocess.run(
            [program, "-c", words],
            env={**os.environ, **env},
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            cwd="/",
            capture_output=True,
        )
    except OSError:
        return False
    return tried.returncode == 0
