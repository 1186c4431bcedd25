# The fork servers of one watcher, one for each generation.
#
# Rule: no policy. Whatever happens becomes an event for the machine, which has a fork server that died
# prepared again for as long as its generation is wanted.

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import Protocol

from bigtop.ipc import lifeline
from bigtop.log import logger as get_logger
from bigtop.supervisor.policy import messages
from bigtop.supervisor.processes import scarcity
from bigtop.supervisor.processes.checks import CheckProgram
from bigtop.supervisor.processes.workers.forkserver import (
    ForkServer,
    ForkServerState,
    Hearers,
    InheritedState,
    Running,
    Started,
    Unborn,
    written,
)
from bigtop.system.files import workdir

logger = get_logger("bigtop.supervisor")


class Cancellable(Protocol):
    """Something under way that may be given up."""

    def cancel(self) -> None: ...


class ForkServers:
    """Starts, asks and ends fork servers; event loop only."""

    def __init__(self, inherited: InheritedState, hearers: Hearers) -> None:
        self.inherited = inherited  # of generations to come
        self.early: Started | None = None  # waits to be told what it is the fork server of
        self._inherited_by_generation: dict[int, InheritedState] = {}
        self._hearers = hearers
        self._servers: dict[int, ForkServer] = {}
        self._all: list[ForkServer] = []  # that were not collected yet, discarded ones included
        self.on_discarded: Callable[[int], None] | None = None
        self.promotions: dict[int, Cancellable] = {}  # by generation: workers that are to be one

    @property
    def pids(self) -> set[int]:
        self._all = [server for server in self._all if not server.gone]
        return {server.process.pid for server in self._all}

    def prepare(self, generation: int) -> None:
        """Start the fork server of `generation`; GenerationReady or GenerationFailed follows."""
        inherited = self._inherited_by_generation.setdefault(generation, self.inherited)
        try:
            real = os.path.realpath(inherited.chdir) if inherited.chdir else workdir.enter(inherited.folder)
        except OSError as error:
            reason = f"cannot enter {inherited.folder}: {error.strerror}"
            self._hearers.feed(messages.GenerationFailed(generation, reason))
            return
        if (late := self._servers.pop(generation, None)) is not None:
            late.discard("another one is started in its place")
        logger.info("%s: generation %d is of %s", inherited.name, generation, real)
        try:
            early, self.early = self.early, None
            server = ForkServer(generation, inherited, self._hearers, early)
        except OSError as error:  # out of descriptors, processes or memory
            reason = f"cannot start a fork server: {error.strerror}"
            short = scarcity.is_passing(error)
            self._hearers.feed(messages.GenerationFailed(generation, reason, short))
            return
        self._servers[generation] = server
        self._all = [one for one in self._all if not one.gone] + [server]

    def take_over(self, generation: int, of: int, running: Running) -> None:
        """Have what was a worker of the generation `of` be the fork server of another one."""
        inherited = self._inherited_by_generation.get(of, self.inherited)
        self._inherited_by_generation[generation] = inherited
        server = ForkServer(generation, inherited, self._hearers, resumed=running)
        self._servers[generation] = server
        self._all.append(server)
        server.give(inherited.fds)

    def spawn(self, fork: lifeline.Fork, generation: int, slot: int) -> None:
        """Ask for a worker with the descriptor `slot`; Spawned or SpawnFailed follows."""
        server = self._servers.get(generation)
        if server is None or not server.usable:
            reason = f"generation {generation} has no fork server"
            self._hearers.feed(messages.SpawnFailed(fork.key, reason))
            return
        server.ask(fork, slot)

    def check_program(self, generation: int, command: str) -> CheckProgram:
        """Return what runs `command` as, and where, the application of `generation` runs. OSError: its
        folder is gone, or no descriptor is free."""
        inherited = self._inherited_by_generation.get(generation, self.inherited)
        if not inherited.chdir:
            workdir.enter(inherited.folder)
        orders = written("bigtop-bootstrap", inherited.bootstrap)
        argv = [sys.executable, "-P", "-m", "bigtop.workers.check_process", str(orders), command]
        return CheckProgram(argv, inherited.environ, (orders,))

    def hand_out(self, message: lifeline.Certificates, fd: int) -> None:
        """Send a message with a descriptor to all fork servers and to workers that are being born."""
        for server in self._servers.values():
            server.tell(message, fd)

    def discard(self, generation: int) -> None:
        """End the fork server of `generation`."""
        self._inherited_by_generation.pop(generation, None)
        if (promotion := self.promotions.pop(generation, None)) is not None:
            promotion.cancel()
        server = self._servers.pop(generation, None)
        if server is not None:
            server.discard()
        if self.on_discarded is not None:
            self.on_discarded(generation)

    def discard_all(self) -> None:
        for generation in [*self._servers, *self.promotions]:
            self.discard(generation)

    def when_gone(self, done: Callable[[], None]) -> None:
        """Call `done` as soon as none is there any more, discarded ones included; at once if that is so."""

        def look() -> None:
            if not self.pids:
                done()

        for server in self._all:
            server.on_gone = look
        look()

    def pid_of(self, generation: int) -> int | None:
        server = self._servers.get(generation)
        return None if server is None or server.gone else server.process.pid

    def unborn(self, key: int) -> Unborn | None:
        """Return what there is of a worker that did not report yet."""
        found = (server.pending[key] for server in self._servers.values() if key in server.pending)
        return next(found, None)

    def kill(self, key: int, reason: str) -> None:
        """End the fork server that was asked for worker `key` of which nothing is heard, if there is one."""
        for server in self._servers.values():
            if key in server.pending:
                server.kill(key, reason)

    def held(self) -> tuple[ForkServerState, ...] | None:
        """Return what it takes to go on with them; None while a worker is born, or one of them ends."""
        states = [server.held() for server in self._servers.values() if not server.gone]
        found = tuple(state for state in states if state is not None)
        return None if len(found) < len(states) or len(self.pids) > len(found) else found

    def resume(self, states: Iterable[ForkServerState]) -> None:
        """Go on with fork servers that another supervisor has started."""
        for state in states:
            server = ForkServer(state.generation, self.inherited, self._hearers, resumed=state)
            self._servers[state.generation] = server
            self._all.append(server)
            self._inherited_by_generation[state.generation] = self.inherited

    @property
    def forking(self) -> bool:
        """Whether a worker may exist whose pid we do not know yet."""
        return any(server.pending for server in self._servers.values())
