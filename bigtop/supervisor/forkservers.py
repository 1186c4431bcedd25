# The fork servers of one watcher, from the supervisor's side.
#
# A generation is a fork server: a clean, single-threaded process that has imported the application once and
# forks workers, which the supervisor adopts (see kernel.become_subreaper). Each is told what to do over its
# control line and answers with the pid of every worker; end-of-file on that line tells either side that the
# other is gone. The child's side is workers/forkserver.py.
#
# Rule: no policy. Whatever happens becomes an event for the machine, which has a fork server that died
# prepared again for as long as its generation is wanted.

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from bigtop import lifeline
from bigtop.supervisor import messages
from bigtop.supervisor.process import Process, spawn
from bigtop.supervisor.streams.reader import LineReader

logger = logging.getLogger("bigtop.supervisor")

Feed = Callable[[messages.Event], None]


@dataclass(frozen=True, slots=True)
class Legacy:
    """What fork servers and workers inherit: their orders, and the descriptors these speak of."""

    bootstrap: bytes
    fds: tuple[int, ...]  # listening sockets and scoreboard, passed on under the same numbers
    environ: Mapping[str, str]


@dataclass(slots=True, eq=False)
class Unborn:
    """A worker that was asked for and not yet answered, with our ends of its lifeline and its stderr.

    What is sent on the line before it is born waits there until it is.
    """

    key: int
    wid: int
    line: socket.socket
    stderr: int
    doomed: bool = False  # to be killed should it be born nevertheless

    def close(self) -> None:
        self.line.close()
        os.close(self.stderr)


@dataclass(slots=True)
class _ForkServer:
    generation: int
    process: Process
    control: socket.socket
    stderr: LineReader
    loaded: lifeline.Loaded | None = None
    pending: dict[int, Unborn] = field(default_factory=dict)  # by key


class ForkServers:
    """Starts, asks and ends fork servers; event loop only.

    `feed` takes events for the machine; `on_worker(unborn, pid)` takes over a newborn worker.
    """

    def __init__(
        self,
        legacy: Legacy,
        feed: Feed,
        on_worker: Callable[[Unborn, int], None],
        on_line: Callable[[bytes], None],
        on_loaded: Callable[[int, lifeline.Loaded], None],
    ) -> None:
        self.legacy = legacy  # of generations to come
        self._legacies: dict[int, Legacy] = {}
        self._feed = feed
        self._on_worker = on_worker
        self._on_line = on_line
        self._on_loaded = on_loaded
        self._servers: dict[int, _ForkServer] = {}
        self.pids: set[int] = set()  # of all that were not collected yet, discarded ones included

    def prepare(self, generation: int) -> None:
        """Start the fork server of `generation`; GenerationReady or GenerationFailed follows."""
        self._legacies.setdefault(generation, self.legacy)
        try:
            self._start(generation)
        except OSError as error:  # out of descriptors, processes or memory
            reason = f"cannot start a fork server: {error.strerror}"
            logger.error("generation %d: %s", generation, reason)
            self._feed(messages.GenerationFailed(generation, reason))

    def _start(self, generation: int) -> None:
        with ExitStack() as theirs, ExitStack() as ours:
            control, far = lifeline.pair()
            ours.callback(control.close)
            theirs.callback(far.close)
            control.setblocking(False)
            read_end, write_end = os.pipe()
            ours.callback(os.close, read_end)
            theirs.callback(os.close, write_end)
            orders = os.memfd_create("bigtop-bootstrap")
            theirs.callback(os.close, orders)
            legacy = self._legacies[generation]
            os.write(orders, legacy.bootstrap)
            argv = [sys.executable, "-P", "-m", "bigtop.workers.forkserver"]
            argv += [str(far.fileno()), str(orders), str(generation)]
            fds = (far.fileno(), orders, *legacy.fds)
            pid = spawn(argv, legacy.environ, fds, stderr=write_end)
            process = Process(pid, lambda status: self._ended(server, status))
            server = _ForkServer(generation, process, control, LineReader(read_end, self._on_line))
            ours.pop_all()
        self._servers[generation] = server
        self.pids.add(pid)
        asyncio.get_running_loop().add_reader(control, self._readable, server)

    def spawn(self, key: int, wid: int, generation: int) -> None:
        """Ask for a worker; Spawned or SpawnFailed follows."""
        server = self._servers.get(generation)
        if server is None or server.loaded is None:
            self._feed(messages.SpawnFailed(key, f"generation {generation} has no fork server"))
            return
        self._ask(server, lifeline.Fork(key, wid))

    def discard(self, generation: int) -> None:
        """End the fork server of `generation`, also one that hangs in an import. It owns nothing."""
        self._legacies.pop(generation, None)
        server = self._servers.pop(generation, None)
        if server is not None:
            self._fail_pending(server, "its generation is over")
            server.process.kill_tree()  # before its line closes: it has nothing to say about that
            self._close_line(server)

    def discard_all(self) -> None:
        for generation in list(self._servers):
            self.discard(generation)

    def unborn(self, key: int) -> Unborn | None:
        """Return what there is of a worker whose fork server has not answered."""
        found = (server.pending[key] for server in self._servers.values() if key in server.pending)
        return next(found, None)

    def kill(self, key: int) -> None:
        """End the fork server that was asked for worker `key` and does not answer, if there is one."""
        for server in self._servers.values():
            if key in server.pending:
                server.pending[key].doomed = True
                server.process.kill_tree()

    @property
    def forking(self) -> bool:
        """Whether a worker may exist whose pid we do not know yet."""
        return any(server.pending for server in self._servers.values())

    # ---- what fork servers say

    def _ask(self, server: _ForkServer, fork: lifeline.Fork) -> None:
        with ExitStack() as theirs, ExitStack() as ours:
            try:
                line, far = lifeline.pair()
                ours.callback(line.close)
                line.setblocking(False)
                theirs.callback(far.close)
                read_end, write_end = os.pipe()
                ours.callback(os.close, read_end)
                theirs.callback(os.close, write_end)
                lifeline.send(server.control, fork, (far.fileno(), write_end))
            except OSError as error:  # no descriptor is free; or it died, or hangs with a full line
                reason = f"the fork server cannot be asked: {error.strerror}"
                self._feed(messages.SpawnFailed(fork.key, reason))
                return
            server.pending[fork.key] = Unborn(fork.key, fork.wid, line, read_end)
            ours.pop_all()

    def _readable(self, server: _ForkServer) -> bool:
        """Take one message; return whether there may be another."""
        if server.control.fileno() < 0:
            return False
        try:
            received = lifeline.receive(server.control)
        except BlockingIOError:
            return False
        except OSError:  # reset by a peer that died with messages unread
            received = None
        if received is None:
            self._close_line(server)
            return False
        match received[0]:
            case lifeline.Loaded() as loaded:
                self._loaded(server, loaded)
            case lifeline.LoadFailed(message, traceback):
                self._servers.pop(server.generation, None)
                self._fail_pending(server, message)
                self._feed(messages.GenerationFailed(server.generation, f"{message}\n{traceback}".rstrip()))
            case lifeline.ForkFailed(key, reason):
                self._fail(server, key, reason)
            case lifeline.Forked(key, pid):
                unborn = server.pending.pop(key, None)
                if unborn is not None:
                    self._on_worker(unborn, pid)
        return True

    def _loaded(self, server: _ForkServer, loaded: lifeline.Loaded) -> None:
        server.loaded = loaded
        self._on_loaded(server.generation, loaded)
        self._feed(messages.GenerationReady(server.generation))

    def _ended(self, server: _ForkServer, status: messages.ExitStatus) -> None:
        self.pids.discard(server.process.pid)
        while self._readable(server):  # what it said before it died
            pass
        server.stderr.catch_up()
        self._close_line(server)
        if self._servers.get(server.generation) is not server:
            return  # discarded, or its failure was told already
        del self._servers[server.generation]
        reason = f"fork server {server.process.pid} ended with {status}"
        self._fail_pending(server, reason)
        words = "\n".join(server.stderr.last)
        self._feed(messages.GenerationFailed(server.generation, f"{reason}\n{words}".rstrip()))

    def _fail_pending(self, server: _ForkServer, reason: str) -> None:
        for key in list(server.pending):
            self._fail(server, key, reason)

    def _fail(self, server: _ForkServer, key: int, reason: str) -> None:
        unborn = server.pending.pop(key, None)
        if unborn is not None:
            unborn.close()
            self._feed(messages.SpawnFailed(key, reason))

    def _close_line(self, server: _ForkServer) -> None:
        if server.control.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(server.control)
            server.control.close()
