# The running program as the control channel sees it: control/daemon.py's protocols, over the real thing.
#
# Rule: nothing is decided here. A call is passed on, or put into the words that control/ wants.

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

import bigtop
from bigtop.control.figures import Figures
from bigtop.errors import CommandError
from bigtop.sockets import ListeningSocket
from bigtop.supervisor.messages import Urgency
from bigtop.supervisor.spec import WatcherSpec
from bigtop.supervisor.streams.formats import Chunk

if TYPE_CHECKING:
    from bigtop.launch.daemon import Daemon


@dataclass(frozen=True, slots=True)
class Listener:
    """One named socket in the words of listsockets."""

    name: str
    fd: int
    backlog: int
    host: str | None
    port: int | None
    path: str | None

    @classmethod
    def of(cls, name: str, listener: ListeningSocket) -> Listener:
        spec = listener.spec
        tcp = spec.path is None
        return cls(
            name,
            listener.fileno(),
            spec.backlog,
            spec.host if tcp else None,
            spec.port if tcp else None,
            spec.path,
        )


class Steered:
    """The supervisor. Calls return at once; settled() tells how it went."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._supervisor = supervisor = daemon.supervisor
        self.watcher = supervisor.watcher
        self.restart = supervisor.restart
        self.scale = supervisor.scale
        self.update = supervisor.update

    @property
    def names(self) -> Sequence[str]:
        return self._supervisor.names

    @property
    def sockets(self) -> Iterable[Listener]:
        return [Listener.of(name, listener) for name, listener in self._daemon.listening.named()]

    def start(self, name: str) -> None:
        self._daemon.news.take_failure(name)
        self._supervisor.start(name)

    def stop(self, name: str, urgency: Urgency = Urgency.GRACEFUL) -> None:
        self._supervisor.stop(name, urgency)

    def reload(self, name: str, *, graceful: bool, sequential: bool) -> None:
        self._daemon.news.take_failure(name)
        self._supervisor.reload(name, graceful=graceful, sequential=sequential)

    async def kill(self, name: str, pid: int, signum: int | None, grace: float | None) -> None:
        self._supervisor.kill(name, pid, signum, grace)
        machine = self._supervisor.watcher(name)
        while any(proc.pid == pid for proc in machine.processes.values()):
            await self._daemon.news.next_death()

    def signal(self, name: str, pid: int, signum: int, *, children: bool, recursive: bool) -> None:
        self._supervisor.signal(name, pid, signum, children=children, recursive=recursive)

    def signal_child(self, name: str, pid: int, child: int, signum: int) -> None:
        machine = self._supervisor.watcher(name)
        try:
            ours = any(proc.pid == pid for proc in machine.processes.values())
            if not ours or psutil.Process(child).ppid() != pid:
                raise CommandError(f"process {pid} of {name} has no child {child}")
            os.kill(child, signum)
        except (psutil.NoSuchProcess, ProcessLookupError) as error:
            raise CommandError(f"there is no process {child}") from error

    def add(self, spec: WatcherSpec) -> None:
        self._supervisor.add(spec)

    def remove(self, name: str, *, nostop: bool) -> None:
        self._supervisor.remove(name, nostop=nostop)

    async def settled(self, name: str) -> None:
        await self._supervisor.settled(name)
        if (reason := self._daemon.news.take_failure(name)) is not None:
            raise CommandError(f"{name}: {reason}")

    async def extended_stats(self, name: str, pid: int, stats: dict[str, object]) -> None:
        hooks = self._supervisor.entry(name).hooks
        if hooks.has("extended_stats"):
            await hooks.run("extended_stats", pid=pid, stats=stats)


class Controlled:
    """The program around the supervisor."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.supervisor = Steered(daemon)
        self.figures = Figures()
        self.environ: Mapping[str, str] = dict(os.environ)

    def global_options(self) -> Mapping[str, object]:
        spec = self._daemon.spec
        return {
            "endpoint": self._daemon.server.endpoint,
            "pubsub_endpoint": self._daemon.server.pubsub_endpoint,
            "stats_endpoint": spec.stats_endpoint,
            "check_delay": spec.check_delay,
            "multicast_endpoint": spec.multicast_endpoint,
        }

    def version(self) -> Mapping[str, object]:
        return {"version": bigtop.__version__, "python": sys.version.split()[0], "pid": os.getpid()}

    async def quit(self) -> None:
        self._daemon.stop()
        await self._daemon.over.wait()

    def reload_config(self, *, dry_run: bool) -> Awaitable[Sequence[str]]:
        return self._settled(self._daemon.reload_config(dry_run=dry_run))  # a wrong file is told at once

    async def _settled(self, steps: Sequence[str]) -> Sequence[str]:
        await asyncio.gather(*map(self._daemon.supervisor.settled, self._daemon.supervisor.names))
        return steps

    def tail(self, name: str, lines: int) -> Sequence[Mapping[str, object]]:
        return [as_facts(chunk, chunk.lines) for chunk in self._daemon.tail(name, lines)]

    def requests(self, name: str | None) -> Sequence[Mapping[str, object]]:
        now = time.monotonic_ns()
        found: list[Mapping[str, object]] = []
        for app_name, app in self._daemon.apps.items():
            if name is not None and name != app_name:
                continue
            machine = self._daemon.supervisor.watcher(app_name)
            for proc in machine.processes.values():
                for record in app.board.running(proc.wid - 1):
                    found.append(
                        {
                            "watcher": app_name,
                            "wid": proc.wid,
                            "pid": proc.pid,
                            "method": record.method,
                            "path": record.path,
                            "client": record.client,
                            "phase": record.phase.name.lower(),
                            "seconds": (now - record.began) / 1e9,
                        }
                    )
        return found


def as_facts(chunk: Chunk, line: bytes) -> dict[str, object]:
    """Return one line of output in the words of the control channel."""
    text = line.decode("utf-8", "replace").rstrip("\n")
    return {"time": chunk.at, "pid": chunk.pid, "stream": chunk.which, "line": text}
