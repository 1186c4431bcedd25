# One fork server, from the supervisor's side: a clean, single-threaded process that has imported the
# application once and forks workers, which the supervisor adopts (see kernel.become_subreaper). It is told
# what to do over its control line, and each worker reports for itself over its lifeline; end-of-file on a
# line tells either side that the other is gone. The child's side is workers/forkserver.py.
#
# Rule: a fork server has imported the application, so it may be in anybody's hands. Which process a worker
# is, the kernel says, not the fork server; what it says out of turn is the end of it and of its generation.

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import NamedTuple

from bigtop.ipc import lifeline
from bigtop.ipc.snapshot import Descriptor
from bigtop.log import logger as get_logger
from bigtop.record import Record
from bigtop.supervisor.policy import messages
from bigtop.supervisor.processes import killing, scarcity
from bigtop.supervisor.processes.child import Process, spawn
from bigtop.supervisor.streams.reader import LineReader, ReaderState

logger = get_logger("bigtop.supervisor")

_TIME_TO_END = 5.0  # seconds, for exit handlers of the application
_TIME_TO_SAY = 1.0  # seconds, until a fork server has said why a worker does not come


class InheritedState(Record):
    """What fork servers and workers inherit: their orders, and the descriptors these speak of."""

    name: str  # of the watcher
    bootstrap: bytes
    fds: tuple[int, ...]  # listening sockets and seats, passed on under the same numbers
    environ: Mapping[str, str]
    folder: str  # where fork servers begin, by a name that may lead elsewhere later
    chdir: str | None = None  # where their application goes then


class Started(NamedTuple):
    """A fork server that runs, with our ends of its control line and its stderr."""

    pid: int
    control: socket.socket
    stderr: int

    def close(self) -> None:
        self.control.close()
        os.close(self.stderr)


class Running(NamedTuple):
    """A process that was a worker and has said that it is a fork server."""

    process: Process
    control: socket.socket
    stderr: LineReader


class Unborn(Record, frozen=False, eq=False):
    """A worker that was asked for and did not report yet, with our ends of its lifeline and of two pipes.

    What is sent on the line before it is born waits there until it is.
    """

    key: int
    wid: int
    line: socket.socket
    stderr: int
    reports: int
    doomed: bool = False  # to be killed should it be born nevertheless
    asked: int = 0  # how often it was given certificates

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.line)
        self.line.close()
        os.close(self.stderr)
        os.close(self.reports)


class ForkServerState(Record):
    """A fork server of which nothing is under way but, maybe, its import."""

    generation: int
    pid: int
    control: Descriptor
    stderr: ReaderState
    loaded: bool


class Hearers(Record):
    """Who is told what.

    `feed` takes events for the machine; `on_worker(unborn, pid)` takes over a newborn worker, and returns
    False if that process cannot be one; `line_sink` makes what takes one process' lines from its stderr.
    """

    feed: Callable[[messages.Event], None]
    on_worker: Callable[[Unborn, int], bool]
    line_sink: Callable[[], Callable[[bytes], None]]
    on_loaded: Callable[[int, lifeline.Loaded], None]


class ForkServer:
    """Event loop only. Starting it raises OSError when that cannot be; then there is nothing of it."""

    def __init__(
        self,
        generation: int,
        inherited: InheritedState,
        hearers: Hearers,
        early: Started | None = None,
        resumed: ForkServerState | Running | None = None,
    ) -> None:
        self.generation = generation
        self._name = inherited.name
        self.loaded = isinstance(resumed, Running) or (resumed is not None and resumed.loaded)
        self.gone = False  # collected
        self.on_gone: Callable[[], None] = lambda: None
        self.pending: dict[int, Unborn] = {}  # by key
        self._hearers = hearers
        self._over = False  # nothing is heard of it any more
        if isinstance(resumed, Running):
            self.process, self._control, self._stderr = resumed
            self.process.on_exit = self._ended
            asyncio.get_running_loop().add_reader(self._control, self._readable)
            return
        if resumed is not None:
            self._resume(resumed)
            return
        started = _begun(early, generation, inherited)
        try:
            self.process = Process(started.pid, self._ended)
        except OSError as error:
            started.close()
            killing.unwatched(started.pid, f"{inherited.name}: fork server {generation}", error)
            raise
        self._control = started.control
        self._stderr = LineReader(started.stderr, hearers.line_sink())
        asyncio.get_running_loop().add_reader(self._control, self._readable)

    def _resume(self, state: ForkServerState) -> None:
        self.process = Process(state.pid, self._ended)
        self._control = socket.socket(fileno=state.control.number)
        self._stderr = LineReader.resumed(state.stderr, self._hearers.line_sink())
        asyncio.get_running_loop().add_reader(self._control, self._readable)

    def give(self, fds: Sequence[int]) -> None:
        """Give one that was a worker what its own workers are to have."""
        try:
            lifeline.send(self._control, lifeline.Begin(self.generation))
            _pass_on(self._control, fds)
        except OSError as error:  # which may pass: its generation is not, and so it is ended
            self._distrust(f"it cannot be given what its workers are to have: {error.strerror}")

    def held(self) -> ForkServerState | None:
        """Return what it takes to go on with it; None while there is more under way than that holds."""
        if self._over or self.gone or self.pending:
            return None
        stderr = self._stderr.held()
        control = Descriptor(self._control.fileno())
        return ForkServerState(self.generation, self.process.pid, control, stderr, self.loaded)

    @property
    def usable(self) -> bool:
        return self.loaded and not self._over

    def discard(self, reason: str = "its generation is over") -> None:
        """End it, also if it hangs in an import. It owns nothing."""
        self._over = True
        self._fail_pending(reason)
        # Before its line closes: it has nothing to say about that.
        self._kill(reason, logging.INFO)
        self._close_line()

    def kill(self, key: int, reason: str) -> None:
        """End it because it was asked for worker `key` and nothing is heard of that."""
        self.pending[key].doomed = True
        self._kill(f"it does not say what became of a worker: {reason}")

    def tell(self, message: lifeline.Certificates, fd: int) -> None:
        """Send it, and workers that are being born, a message with a descriptor."""
        lines = [self._control] if not self._over else []
        for unborn in self.pending.values():
            unborn.asked += 1
            lines.append(unborn.line)
        for line in lines:
            with suppress(OSError):  # it is about to end, or hangs with a full line
                lifeline.send(line, message, (fd,))

    def ask(self, fork: lifeline.Fork, slot: int) -> None:
        """Ask for a worker with the descriptor `slot`; Spawned or SpawnFailed follows."""
        with ExitStack() as theirs, ExitStack() as ours:
            try:
                scarcity.check()
                line, far = lifeline.pair()
                ours.callback(line.close)
                line.setblocking(False)
                lifeline.demand_signatures(line)
                theirs.callback(far.close)
                read_end, write_end = os.pipe()
                ours.callback(os.close, read_end)
                theirs.callback(os.close, write_end)
                # Nobody waits for the other: who does not read in time loses the rest of a report.
                reports, told = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
                ours.callback(os.close, reports)
                theirs.callback(os.close, told)
                lifeline.send(self._control, fork, (far.fileno(), write_end, slot, told))
            except OSError as error:  # no descriptor is free; or it died, or hangs with a full line
                reason = f"the fork server cannot be asked: {error.strerror}"
                # With a full line (EAGAIN) it hangs, which is no want of room.
                short = scarcity.is_passing(error) and not isinstance(error, BlockingIOError)
                self._hearers.feed(messages.SpawnFailed(fork.key, reason, short))
                return
            unborn = self.pending[fork.key] = Unborn(fork.key, fork.wid, line, read_end, reports)
            asyncio.get_running_loop().add_reader(line, self._reports, unborn)
            ours.pop_all()

    # ---- what is heard

    def _reports(self, unborn: Unborn) -> None:
        """Take the first word of a worker."""
        try:
            received = lifeline.receive_signed(unborn.line)
        except BlockingIOError:
            return
        except ValueError as error:
            self._distrust(str(error))
            return
        except OSError:
            received = None
        if received is None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(unborn.line)
            loop.call_later(_TIME_TO_SAY, self._fail, unborn.key, "it ended before it said a word")
        elif isinstance(received[0], lifeline.Born) and self._hearers.on_worker(unborn, received[1]):
            self.pending.pop(unborn.key, None)
        else:
            self._distrust(f"process {received[1]} is not the worker that was asked for")

    def _readable(self) -> bool:
        """Take one message; return whether there may be another."""
        if self._control.fileno() < 0:
            return False
        try:
            received = lifeline.receive(self._control)
            if received is not None:
                self._hear(received[0])
        except BlockingIOError:
            return False
        except ValueError as error:
            self._distrust(str(error))
            return False
        except OSError:  # reset by a peer that died with messages unread
            received = None
        if received is None:
            self._close_line()
            self._have_end()
        return received is not None

    def _hear(self, message: lifeline.Message) -> None:
        """ValueError: nothing that a fork server says, or not now."""
        match message:
            case lifeline.Loaded() if not self.loaded:
                self.loaded = True
                self._hearers.on_loaded(self.generation, message)
                self._hearers.feed(messages.GenerationReady(self.generation))
            case lifeline.LoadFailed(text, traceback) if not self.loaded:
                self._drop(text, f"{text}\n{traceback}".rstrip())
                self._close_line()
                self._have_end()
            case lifeline.ForkFailed(key, reason) if key in self.pending:
                self._fail(key, reason)
            case _:
                raise ValueError(f"{type(message).__name__} is not what a fork server says now")

    def _distrust(self, why: str) -> None:
        """The application that it imported speaks in its place."""
        reason = f"fork server {self.process.pid} is ended: {why}"
        self._kill(why, logging.ERROR)
        self._close_line()
        self._drop(reason, reason)

    def _drop(self, reason: str, told: str) -> None:
        """There will be nothing of this fork server any more."""
        if not self._over:
            self._over = True
            self._fail_pending(reason)
            self._hearers.feed(messages.GenerationFailed(self.generation, told))

    def _have_end(self) -> None:
        """It has nothing more to say: it is about to end, or it is ended."""
        why = f"still there {_TIME_TO_END:g} seconds after its last word"
        asyncio.get_running_loop().call_later(_TIME_TO_END, self._kill, why)

    def _kill(self, reason: str, level: int = logging.WARNING) -> None:
        killing.process(self.process, f"{self._name}: fork server {self.generation}", reason, level)

    def _ended(self, status: messages.ExitStatus) -> None:
        self.gone = True
        while self._readable():  # what it said before it died
            pass
        for unborn in list(self.pending.values()):
            if unborn.key in self.pending:  # else what another one said was the end of all
                self._reports(unborn)
        self._stderr.catch_up()
        self._close_line()
        reason = f"fork server {self.process.pid} ended with {status}"
        words = "\n".join(self._stderr.last)
        self._drop(reason, f"{reason}\n{words}".rstrip())
        self.on_gone()

    def _fail_pending(self, reason: str) -> None:
        for key in list(self.pending):
            self._fail(key, reason)

    def _fail(self, key: int, reason: str) -> None:
        unborn = self.pending.pop(key, None)
        if unborn is not None:
            unborn.close()
            self._hearers.feed(messages.SpawnFailed(key, reason, scarcity.is_passing_text(reason)))

    def _close_line(self) -> None:
        if self._control.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()


def _begun(early: Started | None, generation: int, inherited: InheritedState) -> Started:
    scarcity.check()
    if early is not None and _begin(early, generation, inherited):
        return early
    return _start(generation, inherited)


def _start(generation: int, inherited: InheritedState) -> Started:
    """Start a fork server; OSError when that cannot be."""
    with ExitStack() as theirs, ExitStack() as ours:
        control, far = lifeline.pair()
        ours.callback(control.close)
        theirs.callback(far.close)
        control.setblocking(False)
        read_end, write_end = os.pipe()
        ours.callback(os.close, read_end)
        theirs.callback(os.close, write_end)
        orders = written("bigtop-bootstrap", inherited.bootstrap)
        theirs.callback(os.close, orders)
        argv = [sys.executable, "-P", "-m", "bigtop.workers.forkserver"]
        argv += [str(far.fileno()), str(orders), str(generation)]
        fds = (far.fileno(), orders, *inherited.fds)
        pid = spawn(argv, inherited.environ, fds, stderr=write_end)
        ours.pop_all()
    return Started(pid, control, read_end)


def _begin(early: Started, generation: int, inherited: InheritedState) -> bool:
    """Tell a fork server that had a head start what it is; False if that one cannot be it any more."""
    with ExitStack() as theirs:
        try:
            orders = written("bigtop-bootstrap", inherited.bootstrap)
            theirs.callback(os.close, orders)
            environ = written("bigtop-environment", json.dumps(dict(inherited.environ)).encode())
            theirs.callback(os.close, environ)
            folder = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            theirs.callback(os.close, folder)
            early.control.setblocking(False)
            lifeline.send(early.control, lifeline.Begin(generation), (orders, environ, folder))
            _pass_on(early.control, inherited.fds)
        except OSError:  # it died, or the kernel lets nobody pass on so many
            early.close()
            return False
    return True


def _pass_on(control: socket.socket, fds: Sequence[int]) -> None:
    for first in range(0, len(fds), lifeline.MOST_FDS):
        lifeline.send(control, lifeline.Inherit(), tuple(fds[first : first + lifeline.MOST_FDS]))


def written(name: str, data: bytes) -> int:
    """Return the descriptor of a file without a name that holds `data`."""
    fd = os.memfd_create(name)
    os.write(fd, data)
    return fd
