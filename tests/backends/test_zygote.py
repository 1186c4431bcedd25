# The zygote that backends under test are forked from: what it forks is a child of the test's, and it never
# stays behind.

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from tests.support import procfs
from tests.support.backend_server import ROOT, BackendServer, eventually

APPS = {"wsgi": "tests.apps.wsgi_basic:app", "asgi": "tests.apps.asgi_basic:app"}


@pytest.mark.parametrize("backend", APPS)
def test_a_forked_backend_is_a_child_of_ours(backend: str) -> None:
    with BackendServer(APPS[backend], backend=backend, nofile=500) as server:
        process = psutil.Process(server.process.pid)
        assert "tests.support.zygote" in process.cmdline()
        assert process.ppid() == os.getpid()
        assert os.getpgid(process.pid) == os.getpgid(0)
        assert process.cwd() == str(ROOT)
        assert process.rlimit(psutil.RLIMIT_NOFILE) == (500, 500)
        assert os.readlink(f"/proc/{process.pid}/fd/1") == os.readlink("/proc/self/fd/1")
        server.process.send_signal(signal.SIGKILL)
        assert server.wait() == -signal.SIGKILL


def test_it_has_what_a_fresh_one_has_open() -> None:
    found = []
    for fresh in (False, True):
        with BackendServer(APPS["wsgi"], fresh=fresh) as server:
            kinds = [name.partition("[")[0] for name in procfs.descriptors(server.process.pid).values()]
            found.append(sorted(kinds))
            server.drain()
            assert server.wait() == 0
    assert found[0] == found[1]


@pytest.mark.parametrize("fresh", [True, False])
def test_a_fresh_interpreter(fresh: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with BackendServer(APPS["wsgi"]) as server:
        assert "tests.support.zygote" in psutil.Process(server.process.pid).cmdline()
    if not fresh:
        monkeypatch.setenv("PYTHONDEVMODE", "1")  # which matters to an import
    with BackendServer(APPS["wsgi"], fresh=fresh) as server:
        assert "tests.support.backend_child" in psutil.Process(server.process.pid).cmdline()


ENDED = """
import sys
from tests.support import zygote
print(zygote.of("wsgi")._process.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("is_killed", [False, True])
def test_it_ends_with_the_process_of_the_test(is_killed: bool) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ENDED], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        zygote = psutil.Process(int(process.stdout.readline()))
        eventually(lambda: "tests.support.zygote" in zygote.cmdline(), what="it has begun")
        if is_killed:
            process.kill()
        process.stdin.close()
        eventually(lambda: not zygote.is_running() or zygote.status() == psutil.STATUS_ZOMBIE)
