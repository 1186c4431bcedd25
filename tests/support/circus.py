# A small daemon under the real control channel: real processes, plain bookkeeping, every answer of a
# supervisor. `python -m tests.support.circus ENDPOINT PUBSUB [JSON]` serves until it is told to quit.
#
# Its commands are `sleep`; a watcher whose option "slow" is set takes that many seconds to stop, one whose
# command cannot be found gives up.

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bigtop.control.auth import Access, Curve
from bigtop.control.figures import Figures
from bigtop.control.server import ControlServer
from bigtop.errors import CommandError
from bigtop.supervisor import messages
from bigtop.supervisor.machine import Status
from bigtop.supervisor.messages import Urgency
from bigtop.supervisor.spec import Command, Lifetime, WatcherSpec


@dataclass
class Process:
    wid: int
    child: asyncio.subprocess.Process
    leaving: bool = False

    @property
    def pid(self) -> int:
        return self.child.pid


@dataclass
class Listener:
    name: str
    socket: socket.socket
    backlog: int = 2048

    @property
    def fd(self) -> int:
        return self.socket.fileno()

    host = property(lambda self: self.socket.getsockname()[0])
    port = property(lambda self: self.socket.getsockname()[1])
    path = None


@dataclass
class Watcher:
    spec: WatcherSpec
    numprocesses: int
    status: Status = Status.STOPPED
    processes: dict[int, Process] = field(default_factory=dict)
    problem: str = ""


class Supervisor:
    """Converges every watcher in a task of its own, as often as it is poked."""

    def __init__(self, specs: Sequence[WatcherSpec]) -> None:
        self.watchers: dict[str, Watcher] = {}
        self.sockets: list[Listener] = []
        self.publish = lambda name, notice: None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._keys = 0
        self._children: set[asyncio.Task[None]] = set()
        for spec in specs:
            self.watchers[spec.name] = Watcher(spec, spec.numprocesses)

    @property
    def names(self) -> list[str]:
        return list(self.watchers)

    def watcher(self, name: str) -> Watcher:
        return self.watchers[name]

    # ---- what is wanted

    def start(self, name: str) -> None:
        if self.watchers[name].status is not Status.ACTIVE:
            self._poke(name, Status.STARTING)

    def stop(self, name: str, urgency: Urgency = Urgency.GRACEFUL) -> None:
        self.watchers[name].problem = ""
        if self.watchers[name].status in (Status.STARTING, Status.ACTIVE):
            self._poke(name, Status.STOPPING)

    def restart(self, name: str) -> None:
        self.reload(name, graceful=False, sequential=False)

    def reload(self, name: str, *, graceful: bool, sequential: bool) -> None:
        for process in self.watchers[name].processes.values():
            self._end(process)
        self._poke(name, Status.STARTING)

    def scale(self, name: str, count: int) -> None:
        self.watchers[name].numprocesses = count
        self._poke(name)

    def update(self, name: str, spec: WatcherSpec) -> None:
        watcher = self.watchers[name]
        watcher.spec, watcher.numprocesses = spec, spec.numprocesses
        self.publish(name, messages.Updated(()))
        self._poke(name)

    def add(self, spec: WatcherSpec) -> None:
        self.watchers[spec.name] = Watcher(spec, spec.numprocesses)
        self.publish(spec.name, messages.Added())

    def remove(self, name: str, *, nostop: bool) -> None:
        self.stop(name)
        self.publish(name, messages.Removed())
        self._again.discard(name)

        async def gone() -> None:
            await self.settled(name)
            self.watchers.pop(name, None)

        self._keep(gone())

    async def settled(self, name: str) -> None:
        while name in self._tasks:
            await asyncio.shield(self._tasks[name])
        if name in self.watchers and self.watchers[name].problem:
            raise CommandError(f"{name}: {self.watchers[name].problem}")

    # ---- single processes

    async def kill(self, name: str, pid: int, signum: int | None, grace: float | None) -> None:
        process = next(one for one in self.watchers[name].processes.values() if one.pid == pid)
        process.child.send_signal(signum or signal.SIGTERM)
        await process.child.wait()

    def signal(self, name: str, pid: int, signum: int, *, children: bool, recursive: bool) -> None:
        process = psutil.Process(pid)
        targets = [] if children else [process]
        targets += process.children(recursive=recursive) if children or recursive else []
        for target in targets:
            target.send_signal(signum)

    def signal_child(self, name: str, pid: int, child: int, signum: int) -> None:
        if child not in [one.pid for one in psutil.Process(pid).children()]:
            raise CommandError(f"{child} is no child of {pid}")
        os.kill(child, signum)

    async def extended_stats(self, name: str, pid: int, stats: dict[str, object]) -> None:
        stats["extended"] = name

    # ---- convergence

    def _poke(self, name: str, status: Status | None = None) -> None:
        watcher = self.watchers[name]
        watcher.status = status or watcher.status
        watcher.problem = ""
        self._again.add(name)
        if name not in self._tasks:
            self._tasks[name] = asyncio.get_running_loop().create_task(self._converge(name))

    async def _converge(self, name: str) -> None:
        watcher = self.watchers[name]
        try:
            while name in self._again:
                self._again.discard(name)
                running = watcher.status in (Status.STARTING, Status.ACTIVE)
                await self._resize(name, watcher, watcher.numprocesses if running else 0)
        finally:
            del self._tasks[name]

    async def _resize(self, name: str, watcher: Watcher, count: int) -> None:
        staying = [process for process in watcher.processes.values() if not process.leaving]
        if count == 0 and "slow" in dict(watcher.spec.options):
            await asyncio.sleep(float(dict(watcher.spec.options)["slow"]))
            if name in self._again:
                return
        for process in staying[count:]:
            self._end(process)
        for _ in range(count - len(staying)):
            if not await self._spawn(name, watcher):
                return
        while any(process.leaving for process in watcher.processes.values()):
            await asyncio.sleep(0.01)
        self._arrived(name, watcher)

    def _arrived(self, name: str, watcher: Watcher) -> None:
        if watcher.status is Status.STARTING:
            watcher.status = Status.ACTIVE
            self.publish(name, messages.Started())
        elif watcher.status is Status.STOPPING and not watcher.processes:
            watcher.status = Status.STOPPED
            self.publish(name, messages.Stopped())

    async def _spawn(self, name: str, watcher: Watcher) -> bool:
        assert isinstance(watcher.spec.target, Command)
        try:
            words = watcher.spec.target.cmd.split()
            child = await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.DEVNULL)
        except OSError as error:
            watcher.status, watcher.problem = Status.STOPPED, f"gave up: {error.strerror}"
            self.publish(name, messages.GaveUp(error.strerror or ""))
            return False
        taken = {process.wid for process in watcher.processes.values()}
        self._keys += 1
        wid = next(wid for wid in range(1, 1000) if wid not in taken)
        watcher.processes[self._keys] = process = Process(wid, child)
        self.publish(name, messages.Born(0, 0, child.pid))
        self._keep(self._reap(name, watcher, self._keys, process))
        return True

    def _end(self, process: Process) -> None:
        process.leaving = True
        process.child.send_signal(signal.SIGTERM)

    async def _reap(self, name: str, watcher: Watcher, key: int, process: Process) -> None:
        code = await process.child.wait()
        del watcher.processes[key]
        status = messages.ExitStatus(signal=-code) if code < 0 else messages.ExitStatus(code=code)
        self.publish(name, messages.Reaped(0, 0, process.pid, status))
        if watcher.status in (Status.STARTING, Status.ACTIVE):
            self._poke(name)

    def _keep(self, coroutine) -> None:  # type: ignore[no-untyped-def]
        task = asyncio.get_running_loop().create_task(coroutine)
        self._children.add(task)
        task.add_done_callback(self._children.discard)


class Daemon:
    def __init__(self, specs: Sequence[WatcherSpec]) -> None:
        self.supervisor = Supervisor(specs)
        self.figures = Figures()
        self.environ: Mapping[str, str] = os.environ
        self.ended = asyncio.Event()
        self.endpoints: dict[str, object] = {}
        self.bad_config = ""

    def global_options(self) -> Mapping[str, object]:
        other = {"stats_endpoint": None, "check_delay": 5.0, "multicast_endpoint": None}
        return {**self.endpoints, **other}

    def version(self) -> Mapping[str, object]:
        return {"version": "1.2.3", "pid": os.getpid(), "name": "test"}

    async def quit(self) -> None:
        for name in self.supervisor.names:
            self.supervisor.stop(name)
        for name in self.supervisor.names:
            await self.supervisor.settled(name)
        for listener in self.supervisor.sockets:
            listener.socket.close()
        self.ended.set()

    async def reload_config(self, *, dry_run: bool) -> Sequence[str]:
        if Path("bad").exists():
            raise CommandError("circus.ini:3: numprocesses: 'many' isn't an integer")
        return ["web: replaced"]

    def save(self, *, dry_run: bool) -> str:
        return "" if dry_run else "--- circus.ini\n+++ circus.ini\n@@ -1 +1 @@\n-a\n+b\n"

    def tail(self, name: str, lines: int) -> Sequence[Mapping[str, object]]:
        return [{"time": 0.0, "pid": 1, "stream": "stdout", "line": f"line {n}"} for n in range(lines)]

    def requests(self, name: str | None) -> Sequence[Mapping[str, object]]:
        return [{"watcher": "web", "pid": 1, "method": "GET", "path": "/slow", "seconds": 3.2}]


SPECS = (
    WatcherSpec("Web", Command("sleep 1000"), numprocesses=1, options=(("colour", "red"),)),
    WatcherSpec("sleeper", Command("sleep 1000"), numprocesses=2, priority=5),
    WatcherSpec("slow", Command("sleep 1000"), options=(("slow", "3"),)),
    WatcherSpec("one", Command("sleep 1000"), singleton=True),
    WatcherSpec("two words", Command("sleep 1000"), lifetime=Lifetime(autostart=False)),
    WatcherSpec("broken", Command("/no/such/program"), lifetime=Lifetime(autostart=False)),
)


async def main(endpoint: str, pubsub: str, settings: Mapping[str, str]) -> None:
    daemon = Daemon(SPECS)
    curve = None
    if "clients" in settings:
        curve = Curve(Path(settings["server_key"]), Path(settings["clients"]))
    server = ControlServer(daemon, endpoint, pubsub, Access(curve=curve, plain_loopback=True))
    daemon.endpoints = {"endpoint": server.endpoint, "pubsub_endpoint": server.pubsub_endpoint}
    daemon.supervisor.publish = server.publish
    listener = socket.create_server(("127.0.0.1", 0))
    daemon.supervisor.sockets.append(Listener("web", listener))
    for spec in SPECS:
        if spec.lifetime.autostart:
            daemon.supervisor.start(spec.name)
            await daemon.supervisor.settled(spec.name)
    chatter = asyncio.create_task(_chatter(server))
    print(json.dumps([server.endpoint, server.pubsub_endpoint]), flush=True)
    await daemon.ended.wait()
    chatter.cancel()
    await server.close()
    daemon.figures.close()


async def _chatter(server: ControlServer) -> None:
    """Write output a hundred times a second, whoever may listen."""
    while True:
        server.publisher.output("Web", {"time": time.time(), "pid": 1, "stream": "stdout", "line": "chat"})
        await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]) if sys.argv[3:] else {}))
