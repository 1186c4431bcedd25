# The daemon of tests/support/circus.py in a process of its own, with raw clients for its control channel.

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
import zmq

from tests.support.site import DEADLINE, ROOT


class Controlled:
    """A running daemon in a with statement; its processes end with it."""

    def __init__(
        self, endpoint: str = "tcp://127.0.0.1:*", pubsub: str = "tcp://127.0.0.1:*", **settings: str
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bigtop-ctl-"))
        self.log_path = self.folder / "log"
        self._words = [endpoint, pubsub, json.dumps(settings)]
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()

    def __enter__(self) -> Controlled:
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.circus", *self._words],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            self._end()
            raise AssertionError(self.log())
        self.endpoint, self.pubsub = json.loads(line)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self.kill()
        assert self.process.stdout
        self.process.stdout.close()
        self.context.destroy(linger=0)

    def kill(self) -> None:
        """End it with SIGKILL, and its children, which would otherwise outlive it."""
        if self.process.poll() is None:
            family = psutil.Process(self.process.pid).children(recursive=True)
            self.process.kill()
            for child in family:
                try:
                    os.kill(child.pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        self.process.wait()

    def log(self) -> str:
        return self.log_path.read_text()

    def dealer(self) -> zmq.Socket[bytes]:
        socket = self.context.socket(zmq.DEALER)
        socket.setsockopt(zmq.IDENTITY, uuid.uuid4().hex.encode())
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(self.endpoint)
        return socket

    def call(self, command: str, **properties: Any) -> dict[str, Any]:
        with self.dealer() as socket:
            socket.send_json({"command": command, "properties": properties, "id": 1})
            return receive(socket)

    def ctl(self, *words: str, **environ: str) -> tuple[int, str, str]:
        """Run `bigtop ctl` on it: exit status, stdout, stderr."""
        return run("-m", "bigtop", "ctl", "--endpoint", self.endpoint, *words, **environ)

    def circusctl(self, *words: str) -> tuple[int, str, str]:
        return run("-W", "ignore", "-m", "circus.circusctl", "--endpoint", self.endpoint, *words)


def receive(socket: zmq.Socket[bytes]) -> dict[str, Any]:
    assert socket.poll(DEADLINE * 1000), "no reply"
    answer: dict[str, Any] = json.loads(socket.recv())
    return answer


def run(*words: str, **environ: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1", **environ},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stdout, done.stderr
