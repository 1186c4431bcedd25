# The launcher from the supervisor's side: processes that cannot be made by posix_spawn(3).
#
# Rule: no policy. One launcher serves all watchers; it is started when it is first needed, and anew when it
# died. Requests are given to it a few at a time, which bounds the descriptors in flight. Each is answered
# twice: by the launcher with a number, and by a pipe that closes when the exec succeeded, or says why not.

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections import deque
from collections.abc import Callable
from itertools import count

from bigtop.ipc.snapshot import Descriptor
from bigtop.record import Record, field
from bigtop.supervisor.policy.launch_request import LaunchRequest
from bigtop.supervisor.policy.messages import ExitStatus
from bigtop.supervisor.processes import killing
from bigtop.supervisor.processes.child import Process, spawn

OnDone = Callable[[int, str], None]
_AT_ONCE = 32


class _Launch(Record, frozen=False):
    request: LaunchRequest
    fds: tuple[int, ...]
    owned: tuple[int, ...]  # closed when they were sent
    on_done: OnDone
    status: int = -1
    pid: int = 0
    words: bytes = b""
    answered: bool = False  # by the launcher, which may be later than what its child says
    executed: bool = False


class _Line(Record, frozen=False):
    """The launcher that runs."""

    process: Process
    socket: socket.socket
    sent: dict[int, _Launch] = field(default_factory=dict)


class LauncherState(Record):
    """A launcher that has nothing to do, for a supervisor that goes on with it."""

    pid: int
    socket: Descriptor


class LauncherClient:
    """Event loop only. `soft_limit` of open files is what commands get, 0: as the supervisor has it."""

    def __init__(self, soft_limit: int = 0) -> None:
        self.soft_limit = soft_limit
        self.pids: set[int] = set()  # of children that nobody else waits for
        self._line: _Line | None = None
        self._queue: deque[_Launch] = deque()
        self._keys = count(1)

    def launch(
        self, request: LaunchRequest, fds: tuple[int, ...], owned: tuple[int, ...], on_done: OnDone
    ) -> None:
        """Make a process with `fds` as request.fds. `on_done` is given its number, or 0 and the reason.

        It is a child of ours by then, and the caller waits for it. `owned` are descriptors that are closed
        as soon as they were passed on.
        """
        self._queue.append(_Launch(request, fds, owned, on_done))
        self._send_next()

    @property
    def launching(self) -> bool:
        """Whether a child of ours may exist whose number we do not know yet."""
        return self._line is not None and any(not launch.pid for launch in self._line.sent.values())

    @property
    def is_busy(self) -> bool:
        return bool(self._queue) or (self._line is not None and bool(self._line.sent))

    def held(self) -> LauncherState | None:
        if self._line is None:
            return None
        return LauncherState(self._line.process.pid, Descriptor(self._line.socket.fileno()))

    def resume(self, state: LauncherState | None) -> None:
        """Go on with the launcher of another supervisor, if there is one; event loop only."""
        if state is None:
            return
        process = Process.resumed(state.pid, lambda status: self._ended(line, status))
        line = self._line = _Line(process, socket.socket(fileno=state.socket.number))
        self.pids.add(state.pid)
        asyncio.get_running_loop().add_reader(line.socket, self._readable, line)

    def close(self) -> None:
        """Have the launcher end by itself; whatever was not launched yet is told so."""
        if self._line is not None:
            self._lost(self._line, "the supervisor stops")

    # ---- to the launcher

    def _start(self) -> _Line:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        argv = [sys.executable, "-P", "-m", "bigtop.supervisor.processes.commands.launcher"]
        argv += [str(theirs.fileno()), str(self.soft_limit)]
        with theirs:
            pid = spawn(argv, os.environ, (theirs.fileno(),))
        try:
            process = Process(pid, lambda status: self._ended(line, status))
        except OSError as error:
            killing.unwatched(pid, "the launcher", error)
            ours.close()
            raise
        self.pids.add(pid)
        line = _Line(process, ours)
        asyncio.get_running_loop().add_reader(ours, self._readable, line)
        return line

    def _send_next(self) -> None:
        while self._queue and (self._line is None or len(self._line.sent) < _AT_ONCE):
            launch = self._queue.popleft()
            try:
                self._line = self._line or self._start()
                self._send(self._line, launch)
            except OSError as error:  # out of descriptors or memory, or it just died
                self._finish(launch, f"launcher: {error.strerror}")

    def _send(self, line: _Line, launch: _Launch) -> None:
        key = next(self._keys)
        launch.status, status = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        memory = os.memfd_create("bigtop-request")
        try:
            os.write(memory, launch.request.encode())
            socket.send_fds(line.socket, [str(key).encode()], [memory, status, *launch.fds])
        finally:
            os.close(memory)
            os.close(status)
            self._release(launch)
        line.sent[key] = launch
        asyncio.get_running_loop().add_reader(launch.status, self._told, line, key, launch)

    def _release(self, launch: _Launch) -> None:
        for fd in launch.owned:
            os.close(fd)
        launch.owned = ()

    # ---- from the launcher and from its children

    def _readable(self, line: _Line) -> None:
        try:
            answer = line.socket.recv(4096)
        except BlockingIOError:
            return
        except OSError:  # reset by a launcher that died with requests unread
            answer = b""
        if not answer:
            self._lost(line, "the launcher ended")
            return
        key, pid, problem = answer.split(b" ", 2)
        launch = line.sent[int(key)]
        launch.answered = True
        launch.pid = int(pid)
        if launch.pid:
            self.pids.add(launch.pid)
        else:
            launch.words = problem
        self._maybe_finish(line, int(key), launch)

    def _told(self, line: _Line, key: int, launch: _Launch) -> None:
        with contextlib.suppress(BlockingIOError):
            words = os.read(launch.status, 4096)
            launch.words += words
            if not words:
                asyncio.get_running_loop().remove_reader(launch.status)
                launch.executed = True
                self._maybe_finish(line, key, launch)

    def _maybe_finish(self, line: _Line, key: int, launch: _Launch) -> None:
        if launch.executed and launch.answered:
            del line.sent[key]
            self._finish(launch, launch.words.decode("utf-8", "replace"))
            self._send_next()

    def _finish(self, launch: _Launch, problem: str) -> None:
        self._release(launch)
        if launch.status >= 0:
            asyncio.get_running_loop().remove_reader(launch.status)
            os.close(launch.status)
        self.pids.discard(launch.pid)
        if problem and launch.pid:
            self._bury(launch.pid)
        launch.on_done(0 if problem else launch.pid, problem)

    def _bury(self, pid: int) -> None:
        """Collect a child whose exec failed."""
        self.pids.add(pid)
        try:
            Process(pid, lambda _status: self.pids.discard(pid))
        except OSError:  # no descriptor is free: it is collected with the strangers
            self.pids.discard(pid)

    def _ended(self, line: _Line, status: ExitStatus) -> None:
        self.pids.discard(line.process.pid)
        self._lost(line, f"the launcher ended with {status}")

    def _lost(self, line: _Line, reason: str) -> None:
        if line.socket.fileno() < 0:
            return
        asyncio.get_running_loop().remove_reader(line.socket)
        line.socket.close()
        if self._line is line:
            self._line = None
        for key, launch in list(line.sent.items()):
            if not launch.pid:  # the others are there already, and tell for themselves how it went
                del line.sent[key]
                self._finish(launch, reason)
        waiting, self._queue = self._queue, deque()
        for launch in waiting:
            self._finish(launch, reason)
