# The running program as the control channel sees it: control/daemon.py's protocols, over the real thing.
#
# Rule: nothing is decided here. A call is passed on, or put into the words that control/ wants. What `bigtop
# serve` and `bigtop run` do differently they say themselves, as a Program.

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import psutil

import bigtop
from bigtop.control import steering
from bigtop.control.auth import Access
from bigtop.control.figures import Figures
from bigtop.control.server import ControlServer
from bigtop.errors import CommandError
from bigtop.launch.app import App
from bigtop.launch.news import News
from bigtop.sockets import ListeningSocket
from bigtop.supervisor.core import Supervisor
from bigtop.supervisor.director import tried_forever
from bigtop.supervisor.messages import Urgency
from bigtop.supervisor.spec import WatcherSpec
from bigtop.supervisor.streams.formats import Chunk


class Program(Protocol):
    """What is steered: a supervisor with what it runs, and the end of it."""

    supervisor: Supervisor
    news: News
    over: asyncio.Event  # everything is stopped
    apps: dict[str, App]  # those that run, by the watcher's name

    @property
    def has_file(self) -> bool:
        """Whether there is a configuration to read anew."""

    def named_sockets(self) -> list[tuple[str, ListeningSocket]]: ...

    def options(self) -> Mapping[str, object]:
        """Return the words and values of `globaloptions`, besides the endpoints."""

    def add(self, spec: WatcherSpec) -> None: ...

    def update(self, name: str, spec: WatcherSpec) -> None: ...

    def remove(self, name: str, *, nostop: bool) -> None: ...

    def stop(self) -> None: ...

    def reload_config(self, *, dry_run: bool) -> Sequence[str]:
        """Become what the file says now; return the steps in words."""

    def save(self, *, dry_run: bool) -> str:
        """Write what was changed back to the file; return the difference in text."""

    def tail(self, name: str, lines: int) -> list[Chunk]: ...


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

    def __init__(self, program: Program) -> None:
        self._program = program
        self._supervisor = supervisor = program.supervisor
        self.watcher = supervisor.watcher
        self.add = program.add
        self.remove = program.remove

    @property
    def names(self) -> Sequence[str]:
        return self._supervisor.names

    @property
    def sockets(self) -> Iterable[Listener]:
        return [Listener.of(name, listener) for name, listener in self._program.named_sockets()]

    def start(self, name: str) -> None:
        self._program.news.forget_failure(name)
        self._supervisor.start(name)

    def stop(self, name: str, urgency: Urgency = Urgency.GRACEFUL) -> None:
        self._program.news.forget_failure(name)
        self._supervisor.stop(name, urgency)

    def restart(self, name: str) -> None:
        self._program.news.forget_failure(name)
        self._supervisor.restart(name)

    def reload(self, name: str, *, graceful: bool, sequential: bool) -> None:
        self._program.news.forget_failure(name)
        self._supervisor.reload(name, graceful=graceful, sequential=sequential)

    def scale(self, name: str, count: int) -> None:
        self._program.news.forget_failure(name)
        self._supervisor.scale(name, count)

    def update(self, name: str, spec: WatcherSpec) -> None:
        self._program.news.forget_failure(name)
        self._program.update(name, spec)

    async def kill(self, name: str, pid: int, signum: int | None, grace: float | None) -> None:
        self._supervisor.kill(name, pid, signum, grace)
        machine = self._supervisor.watcher(name)
        while any(proc.pid == pid for proc in machine.processes.values()):
            await self._program.news.next_death()

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

    async def settled(self, name: str) -> None:
        settled = self._supervisor.settled(name)
        try:
            while not settled.done():
                if (obstacle := self._obstacle(name)) is not None:
                    raise CommandError(obstacle)
                await asyncio.wait(
                    [settled, self._program.news.next_death()], return_when=asyncio.FIRST_COMPLETED
                )
        finally:
            settled.cancel()  # nothing, where it is done
        if (reason := self._program.news.failure(name)) is not None:
            raise CommandError(f"{name}: {reason}")

    def _obstacle(self, name: str) -> str | None:
        """Return why `name` does not start, if that need not ever come to an end."""
        for each in tried_forever(self._supervisor, name):
            if (reason := self._program.news.backoff(each)) is not None:
                return f"{name}: {reason}" if each == name else f"{name}: waits for {each}: {reason}"
        return None

    async def extended_stats(self, name: str, pid: int, stats: dict[str, object]) -> None:
        hooks = self._supervisor.entry(name).hooks
        if hooks.has("extended_stats"):
            await hooks.run("extended_stats", pid=pid, stats=stats)


class Controlled:
    """The program around the supervisor."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.supervisor = Steered(program)
        self.figures = Figures()
        self.environ: Mapping[str, str] = dict(os.environ)
        self._endpoints: dict[str, object] = {}

    def open(self, endpoint: str, pubsub: str, access: Access = Access()) -> ControlServer:  # noqa: B008 - frozen
        """Let clients in. Raises ConfigError and BindError."""
        server = ControlServer(self, endpoint, pubsub, access)
        self._endpoints = {"endpoint": server.endpoint, "pubsub_endpoint": server.pubsub_endpoint}
        return server

    @property
    def has_file(self) -> bool:
        return self._program.has_file

    def global_options(self) -> Mapping[str, object]:
        return {**self._endpoints, **self._program.options()}

    def version(self) -> Mapping[str, object]:
        return {"version": bigtop.__version__, "python": sys.version.split()[0], "pid": os.getpid()}

    async def quit(self) -> None:
        self._program.stop()
        await self._program.over.wait()

    def reload_config(self, *, dry_run: bool) -> Awaitable[Sequence[str]]:
        steps = self._program.reload_config(dry_run=dry_run)  # a wrong file is told at once
        if not dry_run:
            self._program.news.forget_failures()
        return self._settled(steps, [] if dry_run else self._program.supervisor.names)

    async def _settled(self, steps: Sequence[str], names: Sequence[str]) -> Sequence[str]:
        await steering.settled(self.supervisor, names)
        return steps

    def save(self, *, dry_run: bool) -> str:
        return self._program.save(dry_run=dry_run)

    def tail(self, name: str, lines: int) -> Sequence[Mapping[str, object]]:
        return [as_facts(chunk, chunk.lines) for chunk in self._program.tail(name, lines)]

    def requests(self, name: str | None) -> Sequence[Mapping[str, object]]:
        now = time.monotonic_ns()
        found: list[Mapping[str, object]] = []
        for app_name, app in self._program.apps.items():
            if name is not None and name != app_name:
                continue
            machine = self._program.supervisor.watcher(app_name)
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
                            "id": record.id,
                            "phase": record.phase.name.lower(),
                            "seconds": (now - record.began) / 1e9,
                        }
                    )
        return found


def as_facts(chunk: Chunk, line: bytes) -> dict[str, object]:
    """Return one line of output in the words of the control channel."""
    text = line.decode("utf-8", "replace").rstrip("\n")
    return {"time": chunk.at, "pid": chunk.pid, "stream": chunk.which, "line": text}
