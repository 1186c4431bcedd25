# System calls of a request: a cost that no machine and no load changes. Debian: apt-get install strace

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from bench import syscalls
from tests.backends.test_routing import APPS
from tests.support.backend_server import BackendServer, eventually
from tests.support.wire import request

ROUNDS = 60
OF_A_CONNECTION = ("accept4", "getsockname", "recvfrom", "sendto", "close")


def counted(server: BackendServer, table: Path) -> Counter[str]:
    """Return the calls of `server` while ROUNDS clients come, ask, read and leave. Skips without strace."""
    strace = shutil.which("strace")
    if not strace:
        pytest.skip("no strace; Debian: apt-get install strace")
    said = table.with_suffix(".said")
    with said.open("wb") as output:
        command = [strace, "-f", "-c", "-o", str(table), "-p", str(server.process.pid)]
        tracer = subprocess.Popen(command, stderr=output)
    try:
        eventually(
            lambda: tracer.poll() is not None or "attached" in said.read_text(), what="strace is there"
        )
        if tracer.poll() is not None:
            pytest.skip(f"strace may not attach here: {said.read_text()}")
        for _ in range(ROUNDS):
            with server.connect() as client:
                client.send(request("/", "Connection: close"))
                assert client.answer().status == 200
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
    return Counter(syscalls.parse(table.read_text()))


@pytest.mark.parametrize("backend", ["wsgi", "asgi"])
def test_a_client_that_is_answered_and_leaves_is_never_watched(backend: str, tmp_path: Path) -> None:
    with BackendServer(APPS[backend], backend=backend) as server:
        with server.connect() as client:
            client.get("/")
        # From now on the kernel gives clients away that have sent something: here, however late they do.
        server.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)
        calls = counted(server, tmp_path / "table")
    assert calls["epoll_ctl"] + calls["io_uring_enter"] < ROUNDS / 2, calls
    for name in OF_A_CONNECTION:
        assert calls[name] < ROUNDS * 1.5, calls
    assert calls["ioctl"] < ROUNDS * 2.5, calls
    assert calls["fcntl"] + calls["shutdown"] + calls["setsockopt"] < ROUNDS / 2, calls
