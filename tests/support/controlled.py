# `bigtop run` of a Circus file with one watcher of each kind, and raw clients for its control channel.
#
# slow stops when it is killed, or its grace is over: sleep(1) does not mind the signal that it is asked to
# leave with; broken never starts; chatty writes without end; two words only runs when it is told to.

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from typing import Any

import zmq

from tests.support.site import DEADLINE, ROOT, Site

WATCHERS = 7
FILE = """
[circus]
{settings}

[socket:web]
host = 127.0.0.1
port = 0

[watcher:Web]
cmd = sleep 1000
colour = red
hooks.extended_stats = tests.apps.hooks.add_a_figure

[watcher:sleeper]
cmd = sleep 1000
numprocesses = 2
priority = 5

[watcher:slow]
cmd = sleep 1000
stop_signal = CONT
graceful_timeout = {grace}

[watcher:one]
cmd = sleep 1000
singleton = True

[watcher:two words]
cmd = sleep 1000
autostart = False

[watcher:broken]
cmd = /no/such/program
autostart = False
max_retry = 1

[watcher:chatty]
cmd = {python} -uc "import time; [(print('chat'), time.sleep(0.02)) for _ in iter(int, 1)]"
stdout_stream.class = FileStream
stdout_stream.filename = {folder}/chatty.log
"""


class Controlled(Site):
    """A running daemon in a with statement; its processes end with it. `settings` are those of [circus],
    `grace` is the time that slow has: longer than any test takes."""

    def __init__(
        self,
        endpoint: str = "tcp://127.0.0.1:0",
        pubsub: str = "tcp://127.0.0.1:0",
        grace: float = 600,
        **settings: str,
    ) -> None:
        super().__init__("-")
        self.file = self.folder / "circus.ini"
        settings = {"endpoint": endpoint, "pubsub_endpoint": pubsub, **settings}
        lines = "\n".join(f"{key} = {value}" for key, value in settings.items())
        self.file.write_text(
            FILE.format(settings=lines, grace=grace, python=sys.executable, folder=self.folder)
        )
        self.command = [sys.executable, "-m", "bigtop", "run", str(self.file)]
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()

    def __enter__(self) -> Controlled:
        self.start()
        try:
            for name in ("Web", "sleeper", "slow", "one", "chatty"):
                self.wait_for(f"{name}: started")
        except AssertionError:
            self._end()
            raise
        return self

    def _end(self) -> None:
        super()._end()
        self.context.destroy(linger=0)

    def kill(self) -> None:
        """End it with SIGKILL, and its children, which would otherwise outlive it."""
        super()._end()

    @property
    def endpoint(self) -> str:
        """Where commands go."""
        return self.log().partition("control channel on ")[2].split()[0]

    @property
    def pubsub(self) -> str:
        return str(self.call("globaloptions")["options"]["pubsub_endpoint"])

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

    def pids(self, name: str) -> list[int]:
        return sorted(self.call("list", name=name)["pids"])

    def count(self, name: str) -> int:
        return int(self.call("numprocesses", name=name)["numprocesses"])

    def ctl(self, *words: str, **environ: str) -> tuple[int, str, str]:
        """Run `bigtop ctl` on it: exit status, stdout, stderr."""
        return run("-m", "bigtop", "ctl", "--endpoint", self.endpoint, *words, **environ)

    def circusctl(self, *words: str) -> tuple[int, str, str]:
        place = ("--endpoint", self.endpoint, "--timeout", str(int(DEADLINE)))
        return run("-W", "ignore", "-m", "circus.circusctl", *place, *words)


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
        timeout=2 * DEADLINE,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stdout, done.stderr
