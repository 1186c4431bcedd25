# A cluster on this machine: a hub, a controller, and nodes without supervisors, in one folder.

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench.cluster import processes
from bigtop.cli.root import root
from bigtop.cluster import hub
from bigtop.errors import BigtopError
from tests.support.site import DEADLINE, ROOT


def server() -> str:
    """Return nats-server; who has none is told how to get it, and the test is skipped."""
    pytest.importorskip("nats", reason="pip install nats-py")
    try:
        return hub.program(None)
    except BigtopError as error:
        pytest.skip(str(error))


class Cluster(processes.Cluster):
    """Of the keys in `folder`, with one hub or three; its processes end with the with statement."""

    def __init__(self, folder: Path, hubs: int = 1, lease: float = 5) -> None:
        server()
        super().__init__(folder, hubs, lease)


def typed(env: Mapping[str, str], *words: str) -> tuple[int, str]:
    """Give `bigtop WORDS`, without a process for it; return its exit status and all that it printed."""
    done = CliRunner().invoke(root, list(words), env=env)
    if isinstance(done.exception, BigtopError):
        return done.exception.exit_status, f"{done.output}{done.exception}"
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=DEADLINE) as answer:
        return str(answer.read().decode().strip())


def said(path: Path, text: Mapping[str, Any]) -> Path:
    """Write a file for `apply`; the values are such as TOML and JSON write alike."""
    path.write_text("\n".join(f"{key} = {json.dumps(value)}" for key, value in text.items()))
    return path


@contextmanager
def demo(data: Path) -> Iterator[tuple[subprocess.Popen[str], list[str], dict[str, str]]]:
    """Run the demonstration; yield it, the URLs of its sites, and the environment of who speaks to it."""
    env = {**os.environ, "XDG_DATA_HOME": str(data), "HOME": str(data), "NATS_SERVER": server()}
    env["STATE_DIRECTORY"] = str(data)
    command = [sys.executable, "-P", "-u", "examples/cluster/demo.py"]
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    urls: list[str] = []
    try:
        for line in process.stdout:
            if line.startswith("Their sites:"):
                urls = line.split()[2:]
            if line.startswith("Ctrl-C"):
                break
        yield process, urls, env
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(2 * DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        process.stdout.close()
        shutil.rmtree(data, ignore_errors=True)
