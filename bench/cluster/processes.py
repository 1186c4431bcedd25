# Processes of a cluster on this machine: one hub or three, controllers, and nodes, in one folder.

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from bench.server import free_port
from bigtop.cluster import asking, hub, places
from bigtop.cluster.places import Authority, Membership
from bigtop.control.addresses import UnreachableError
from bigtop.errors import BigtopError

ROOT: Final = Path(__file__).resolve().parents[2]
PATIENCE: Final = 30.0  # seconds

T = TypeVar("T")


class Cluster:
    """Of the keys in `folder`, with one hub or three; its processes end with the with statement."""

    def __init__(self, folder: Path, hubs: int = 1, lease: float = 8) -> None:
        self.program, self.folder = hub.program(None), folder
        self.ports, self.routes = ([free_port() for _ in range(hubs)] for _ in range(2))
        urls = tuple(f"nats://127.0.0.1:{port}" for port in self.ports)
        self.authority: Authority = places.found("test", urls, folder, lease=lease)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Cluster:
        try:
            for number in range(len(self.ports)):
                self.start_hub(number)
            self.wait_for_hubs()
            self.start_controller("a")
            self.wait(lambda told: told["leader"] == "a")
        except BaseException:
            self.__exit__()
            raise
        return self

    def wait_for_hubs(self) -> None:
        """Who tries to connect too early waits for seconds."""
        limit = time.monotonic() + PATIENCE
        while not all(map(is_open, self.ports)):
            if time.monotonic() > limit:
                raise AssertionError(f"no hub\n{self.log()}")
            time.sleep(0.01)

    def __exit__(self, *_: object) -> None:
        for process in reversed(self.processes.values()):
            process.terminate()
        limit = time.monotonic() + PATIENCE
        for process in self.processes.values():
            try:
                process.wait(max(0.0, limit - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        with open(self.folder / f"{name}.log", "ab") as log:
            process = subprocess.Popen(words, stdout=log, stderr=log, cwd=ROOT)
        self.processes[name] = process
        return process

    def start_hub(self, number: int = 0) -> None:
        name, port, routes = f"hub{number}", self.ports[number], None
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        shutil.copy(self.folder / "hub.json", folder)
        if len(self.routes) > 1:
            others = tuple(f"127.0.0.1:{one}" for one in self.routes)
            routes = hub.Routes("127.0.0.1", self.routes[number], others)
        conf = hub.written(hub.HubSpec(folder, port=port, name=name, routes=routes))
        self.start(name, self.program, "-c", str(conf))

    def start_controller(self, name: str) -> None:
        words = ("-P", "-m", "bigtop.cluster.controller", str(self.folder), name)
        self.start(f"controller-{name}", sys.executable, *words)

    def ask_once(self, kind: str, **said: Any) -> dict[str, Any]:
        return asyncio.run(asking.ask(self.authority, kind, said))

    def ask(self, kind: str, **said: Any) -> dict[str, Any]:
        return _once_led(lambda: self.ask_once(kind, **said))

    def wait(self, is_well: Any, seconds: float = 2 * PATIENCE) -> dict[str, Any]:
        """Return what the leader tells when all is well."""
        until = time.monotonic() + seconds
        told: Any = None
        while time.monotonic() < until:
            try:
                told = self.ask_once("status")
                if is_well(told):
                    return dict(told)
            except BigtopError as error:
                told = error
            time.sleep(0.05)
        raise AssertionError(f"{told}\n{self.log()}")

    def join(self, name: str, token: str = "", tags: tuple[str, ...] = ()) -> Membership:
        def once() -> Membership:
            used = token or self.authority.token(60)
            return asyncio.run(asking.join(used, "", name, tags, self.folder / name))

        return _once_led(once)

    def log(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))


def _once_led(ask: Callable[[], T]) -> T:
    """Ask until somebody leads: a machine that does much else can have a lease be over."""
    limit = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except UnreachableError as error:
            is_refused = "authorization" in str(error).lower()  # whoever leads
            if is_refused or time.monotonic() > limit:
                raise
            time.sleep(0.05)


def is_open(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
