# Spawner of processes: one command becomes one process.
#
# Rule: two ways, one result. The plain case is posix_spawn(3), about a millisecond. A command that needs
# limits, another user or a control group is made by the launcher (launcher_client.py), which can run code
# between fork and exec. Whatever fails is answered with a reason, and nothing is left open.

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from bigtop.errors import BigtopError
from bigtop.record import Record, field, replace
from bigtop.supervisor.policy.launch_request import LaunchRequest
from bigtop.supervisor.policy.spec import Command, StreamSpec, WatcherSpec
from bigtop.supervisor.processes import cgroups, scarcity
from bigtop.supervisor.processes.child import spawn
from bigtop.supervisor.processes.commands.launcher_client import LauncherClient
from bigtop.supervisor.processes.commands.resolve import SpawnError, program, request_for, visible_sockets
from bigtop.system.files import workdir

if TYPE_CHECKING:
    from pathlib import Path


class SpawnResult(Record, frozen=False):
    """What came of it: a process with our ends of its outputs and its control group, or a reason."""

    pid: int = 0
    reason: str = ""
    short: bool = False  # it is for want of room
    degraded: str = ""  # what had to be done without
    pipes: dict[str, int] = field(default_factory=dict)  # by "stdout" and "stderr"
    group: Path | None = None
    _ends: list[int] = field(default_factory=list)

    def pipe(self, which: str) -> int:
        """Return the child's end of a new pipe."""
        self.pipes[which], write_end = os.pipe()
        self._ends.append(write_end)
        return write_end

    def own(self, fd: int) -> None:
        """Take a descriptor that is for the child alone."""
        self._ends.append(fd)

    def give_ends(self) -> tuple[int, ...]:
        """Hand over the child's ends, to be closed by the caller."""
        ends, self._ends = tuple(self._ends), []
        return ends

    def fail(self, reason: str, *, short: bool) -> None:
        self.reason, self.short = reason, short
        for fd in (*self.pipes.values(), *self.give_ends()):
            os.close(fd)
        if self.group is not None:
            cgroups.remove(self.group)


class Spawner(Record):
    """Spawns commands of all watchers.

    `sockets` returns what descriptors there are for one, by name, and tells which are for it alone.
    `prefix`: the lines of those that share our own outputs get a name in front.
    `folder` is where those begin that have no other, by a name that may lead elsewhere later.
    """

    launcher: LauncherClient
    sockets: Callable[[WatcherSpec, Callable[[int], None]], Mapping[str, int]]
    prefix: bool = False
    folder: str = "."

    def spawn(
        self,
        spec: WatcherSpec,
        place: tuple[int, int],
        environ: Mapping[str, str],
        on_done: Callable[[SpawnResult], None],
    ) -> None:
        """Make a process of `spec`; `place` is its key and its wid, `environ` is added to its environment."""
        result = SpawnResult()
        key, wid = place
        try:
            scarcity.check()
            assert isinstance(spec.target, Command), "a Worker is made by its fork server"
            every = self.sockets(spec, result.own)
            sockets = visible_sockets(spec, spec.target, every)
            if spec.target.context.cwd is None:
                workdir.enter(self.folder)
            request = request_for(spec, spec.target, wid, sockets)
            if environ:
                request = replace(request, env=(*request.env, *environ.items()))
            request = _grouped(result, spec.target, request, f"{spec.name}-{key}")
            fds = (*self._stdio(result, spec, spec.target, every), *sockets.values())
            if self.launcher.soft_limit or not request.is_plain:
                self.launcher.launch(
                    request,
                    fds,
                    result.give_ends(),
                    lambda pid, reason: _answer(
                        result, pid, reason, on_done, short=scarcity.is_passing_text(reason)
                    ),
                )
                return
            pid = _spawn(result, request, fds)
        except BigtopError as error:
            _answer(result, 0, str(error), on_done)
            return
        except OSError as error:
            short = scarcity.is_passing(error)
            _answer(result, 0, str((short and error.strerror) or error), on_done, short=short)
            return
        _answer(result, pid, "", on_done)

    def _stdio(
        self, result: SpawnResult, spec: WatcherSpec, command: Command, sockets: Mapping[str, int]
    ) -> tuple[int, int, int]:
        """Return what the child's descriptors 0, 1 and 2 will be."""
        stdio = command.stdio
        stdin = _null() if stdio.close_stdin else 0
        if stdio.stdin_socket is not None:
            stdin = sockets.get(stdio.stdin_socket, -1)
            if stdin < 0:
                raise SpawnError(f"stdin_socket: there is no socket {stdio.stdin_socket}")
        is_read = spec.ready.kind == "log" or (self.prefix and stdio.prefix)

        def output(which: str, stream: StreamSpec | None, inherited: int, *, closed: bool) -> int:
            if closed:
                return _null()
            return result.pipe(which) if stream is not None or is_read else inherited

        stdout = output("stdout", stdio.stdout, 1, closed=stdio.close_stdout)
        return stdin, stdout, output("stderr", stdio.stderr, 2, closed=stdio.close_stderr)


def _grouped(result: SpawnResult, command: Command, request: LaunchRequest, name: str) -> LaunchRequest:
    limits = command.context.cgroup
    if limits is None:
        return request
    try:
        result.group = cgroups.create(name, limits)
    except OSError as error:
        text = f"cgroup: {error.filename}: {error.strerror}"
        if limits.required:
            raise SpawnError(text) from error
        result.degraded = text
        return request
    return replace(request, cgroup=str(result.group))


def _spawn(result: SpawnResult, request: LaunchRequest, fds: tuple[int, ...]) -> int:
    try:
        return spawn(
            list(request.argv),
            dict(request.env),
            fds[3:],
            stdin=fds[0],
            stdout=fds[1],
            stderr=fds[2],
            program=program(request),
        )
    finally:
        for fd in result.give_ends():
            os.close(fd)


def _answer(
    result: SpawnResult, pid: int, reason: str, on_done: Callable[[SpawnResult], None], *, short: bool = False
) -> None:
    result.pid = pid
    if not pid:
        result.fail(reason, short=short)
    on_done(result)


@functools.cache
def _null() -> int:
    """Return a descriptor of /dev/null, opened once: every command gets a copy."""
    return os.open(os.devnull, os.O_RDWR)
