# Where nothing can be written, as in a container with a read-only root: what needs no file works, and what
# does says so once.

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.site import ROOT, Site
from tests.support.stack import Stack

# In a namespace of its own, every place that a default could mean is mounted once more, for reading only.
READ_ONLY = """
for place in / /tmp /run /var/tmp /dev/shm; do
    mount --bind $place $place && mount -o remount,bind,ro $place || test ! -d $place || exit 99
done
cd / && exec "$@"
"""
WRAPPED = ("unshare", "--mount", "sh", "-c", READ_ONLY, "sh")


def _can_be() -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run([*WRAPPED, "true"], capture_output=True).returncode == 0


pytestmark = [
    pytest.mark.case("B6"),
    pytest.mark.skipif(not _can_be(), reason="takes root, and mounts of its own"),
]


def confined(site: Site) -> None:
    """Have `site` start where nothing can be written, and without a folder of its own."""
    site.command = [*WRAPPED, *site.command]
    for name in ("XDG_RUNTIME_DIR", "RUNTIME_DIRECTORY", "TMPDIR"):
        site._env.pop(name, None)
    site._env["HOME"] = "/root"


@pytest.fixture
def job() -> Iterator[Stack]:
    stack = Stack('[watcher.job]\ncmd = "sleep 1000"\n')
    confined(stack)
    with stack.attempt():
        yield stack


def test_run_goes_on_without_a_control_channel(job: Stack) -> None:
    job.wait_for("job: started")
    assert job.log().count("no control channel: no folder for the control socket: ") == 1
    assert "(endpoint in the file names a place)" in job.log()
    job.send(signal.SIGHUP)
    job.wait_for("job: reloaded")
    assert job.stop() == 0
    assert "Traceback" not in job.log()


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_stream_that_needs_a_file_is_refused(command: str, tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text('[watcher.job]\ncmd = "sleep 1000"\nstdout_stream.class = "FileStream"\n')
    done = subprocess.run(
        [*WRAPPED, sys.executable, "-P", "-m", "bigtop", command, str(file)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 78
    assert done.stderr == (
        f"bigtop: {file}:3: stdout_stream.filename: has to be given: there is no folder for temporary files\n"
    )


def test_serve_answers_what_needs_no_file() -> None:
    site = Site("tests.apps.wsgi_basic:app")
    confined(site)
    with site:
        assert site.get("/")
        assert site.log().count("no control channel: no folder for the control socket: ") == 1
        body = site.folder / "body"
        body.write_bytes(bytes(5_000_000))
        command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--data-binary", f"@{body}"]
        done = subprocess.run([*command, f"{site.url}/echo"], capture_output=True, text=True, timeout=30)
        assert done.stdout == "507"
        site.wait_for("cannot store the body of a request: [Errno 2] No usable temporary directory")
        assert site.stop() == 0
        assert "Traceback" not in site.log()


def test_a_program_that_owns_a_supervisor_is_told() -> None:
    code = "from bigtop import get_arbiter; get_arbiter([{'cmd': 'sleep 1000'}]).start()"
    done = subprocess.run(
        [*WRAPPED, sys.executable, "-P", "-c", code],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "ConfigError: no folder for the control channel: No usable temporary directory" in done.stderr
