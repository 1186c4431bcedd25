# The same application on Bigtop and on uvicorn must see the same: tasks, contexts, cancellation, task groups.

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from bigtop.backends.base import ServeOptions
from tests.apps.asgi_tasks import CHECKS
from tests.support.backend_server import ROOT, BackendServer
from tests.support.wire import Client

APP = "tests.apps.asgi_tasks:app"
Address = tuple[str, int]


@pytest.fixture(scope="module")
def uvicorn() -> Iterator[Address]:
    """The port of a uvicorn: a socket that listens already, so that nobody has to wait for it."""
    import socket

    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            "--fd",
            str(listener.fileno()),
            "--log-level",
            "error",
            APP,
        ]
        process = subprocess.Popen(command, cwd=ROOT, pass_fds=[listener.fileno()], env=dict(os.environ))
        try:
            yield listener.getsockname()
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def bigtop(request: pytest.FixtureRequest) -> Iterator[Address]:
    with BackendServer(APP, ServeOptions(loop=request.param), backend="asgi") as server:
        yield server.address


@pytest.mark.parametrize("check", CHECKS)
def test_same(bigtop: Address, uvicorn: Address, check: str) -> None:
    seen = {}
    for name, address in (("bigtop", bigtop), ("uvicorn", uvicorn)):
        with Client(address) as client:
            answers = [client.get(f"/{check}") for _ in range(3)]
            seen[name] = [(answer.status, answer.body) for answer in answers]
    assert seen["bigtop"] == seen["uvicorn"]
    assert {status for status, _body in seen["bigtop"]} == {200}
