# `bigtop run FILE` as a user runs it, and circusctl beside it.

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bigtop.control.client.client import Client
from tests.support.site import DEADLINE, ROOT, Site


class Stack(Site):
    """A running `bigtop run` of `text`, in a with statement; `{folder}` in it is a folder of its own."""

    def __init__(
        self, text: str, name: str = "stack.toml", env: Mapping[str, str] | None = None, cwd: Path = ROOT
    ) -> None:
        super().__init__("-", env=env, cwd=cwd)
        self.file = self.folder / name
        self.write(text)
        self.command = [sys.executable, "-m", "bigtop", "run", str(self.file)]
        # The control channel is found by its file's name below this folder.
        self._env["XDG_RUNTIME_DIR"] = str(self.folder)
        # And not by being the only one: others may run on this machine.
        self._env["BIGTOP_CTL_ENDPOINT"] = self.file.stem

    def __enter__(self) -> Stack:
        self.start()
        try:
            self.wait_for("control channel on")
        except AssertionError:
            self._end()
            raise
        return self

    def write(self, text: str) -> None:
        self.file.write_text(text.replace("{folder}", str(self.folder)).replace("{python}", sys.executable))

    @property
    def env(self) -> dict[str, str]:
        return self._env

    def ctl(self, *args: str, status: int = 0) -> str:
        """Run `bigtop ctl ARGS` and return what it says."""
        done = subprocess.run(
            [sys.executable, "-m", "bigtop", "ctl", *args],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == status, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout if not status else done.stdout + done.stderr

    def asked(self, *args: str) -> Any:
        """Return what `bigtop ctl --json ARGS` answers."""
        return json.loads(self.ctl("--json", *args))

    def call(self, command: str, **properties: Any) -> dict[str, Any]:
        """Give a command without a process for it, and return the reply."""
        with Client(self.endpoint, timeout=DEADLINE) as client:
            return dict(client.call(command, **properties))

    def pids(self, name: str) -> list[int]:
        return sorted(self.call("list", name=name)["pids"])

    def status(self, name: str) -> str:
        return str(self.call("status")["statuses"][name])

    def circusctl(self, *args: str) -> str:
        """Run Circus' own, unmodified circusctl."""
        program = Path(sys.executable).with_name("circusctl")
        done = subprocess.run(
            [str(program), "--endpoint", self.endpoint, "--timeout", "20", *args],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        return done.stdout + done.stderr

    @property
    def endpoint(self) -> str:
        return self.log().partition("control channel on ")[2].split()[0]


_held: list[int] = []  # descriptors of sockets that keep ports for this process


def free_port() -> int:
    """A port for a file that has to name one; nobody else is given it for as long as this process lives.

    Our socket is bound to it and does not listen: whoever says SO_REUSEADDR, as servers do, may listen there,
    until then connections are refused, and the kernel chooses other ports where it is left the choice.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    port = int(holder.getsockname()[1])
    _held.append(holder.detach())
    return port
