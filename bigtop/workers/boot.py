# From fork to exit: what a worker does, in order.
#
# Rule: run() reads as a list. Everything it needs comes in as arguments; nothing of the supervisor and
# nothing of the fork server but the imported application is reachable from here.

from __future__ import annotations

import faulthandler
import logging
import os
import random
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bigtop import kernel, lifeline, loader, signals, sockets
from bigtop.backends import mounted, registry
from bigtop.backends.base import Backend
from bigtop.backends.transfer import Transfer
from bigtop.errors import AppError, BigtopError
from bigtop.handoff import Handoff
from bigtop.http.routes import Route, Routes
from bigtop.scoreboard import Scoreboard, Slot, State, Word
from bigtop.workers.bootstrap import Bootstrap, Routing
from bigtop.workers.life import Life
from bigtop.workers.policy import RequestQuota

log = logging.getLogger("bigtop.worker")

_EXIT_SECONDS = 10  # what exit handlers and forgotten threads may take once serving is over


@dataclass(frozen=True, slots=True)
class Birth:
    """What tells this worker from its siblings; `line` and `stderr` are descriptors."""

    key: int
    wid: int
    generation: int
    line: int
    stderr: int


def run(bootstrap: Bootstrap, birth: Birth, loaded: loader.LoadedApp | None) -> int:
    """Be a worker until told to leave; return the exit status."""
    line = socket.socket(fileno=birth.line)
    _settle(bootstrap, birth)
    board = Scoreboard(bootstrap.scoreboard)
    slot = _take_slot(board, birth)
    quota = RequestQuota(bootstrap.max_requests, bootstrap.max_requests_jitter, random.Random())  # noqa: S311
    handoff = Handoff(bootstrap.handoff, board, birth.wid - 1) if bootstrap.handoff else None
    life = Life(line, slot, quota, bootstrap.graceful_timeout, handoff, _transfer(bootstrap.routing))
    life.install_signals()
    kernel.die_with_parent()  # an import that hangs would not notice that the supervisor is gone
    if lifeline.is_cut(line):  # it went before that: whose child we are now lives on
        return 0
    try:
        life.open_access_log(bootstrap.logs.access)
        backend, app = _application(bootstrap, loaded)
        kernel.outlive_parent()  # from here on the lifeline tells, and requests may be finished
        life.interface = app.interface
        backend.serve(_listeners(bootstrap.listeners), app.app, life)  # a backend may find out that it cannot
    except BigtopError as error:
        life.cannot_boot(str(error), error.traceback if isinstance(error, AppError) else "")
        return error.exit_status
    # Whatever still runs now was given up by the backend: exit handlers get their time, hung threads do not.
    faulthandler.dump_traceback_later(_EXIT_SECONDS, exit=True)
    return 0


def load(bootstrap: Bootstrap) -> loader.LoadedApp:
    """Import the application as the orders say; AppError when that fails."""
    main = loader.load(bootstrap.app, factory=bootstrap.factory, interface=bootstrap.interface)
    mounts = [(path, loader.load(target)) for path, target in bootstrap.mounts]
    combined = mounted.combine(main, mounts, bootstrap.options)
    return combined if bootstrap.routing is None else mounted.below(combined, bootstrap.routing.mounted)


def _settle(bootstrap: Bootstrap, birth: Birth) -> None:
    os.setsid()  # a group of its own, so that all it starts can be ended with it
    os.dup2(birth.stderr, 2)
    os.close(birth.stderr)
    kernel.set_title(f"bigtop: worker {birth.wid} [{bootstrap.name}]")
    # C code that writes each thread's Python stack to stderr; works while the GIL is held by somebody else.
    faulthandler.register(signals.STACK_SIGNAL, all_threads=True)
    faulthandler.enable()
    kernel.widen_signal_stack()


def _take_slot(board: Scoreboard, birth: Birth) -> Slot:
    slot = board.slot(birth.wid - 1)
    slot.words[Word.PID] = os.getpid()
    slot.words[Word.KEY] = birth.key
    slot.words[Word.GENERATION] = birth.generation
    slot.words[Word.STARTED] = time.monotonic_ns()
    slot.words[Word.STATE] = State.STARTING
    return slot


def _application(bootstrap: Bootstrap, loaded: loader.LoadedApp | None) -> tuple[Backend, loader.LoadedApp]:
    if bootstrap.backend is not None:
        backend = registry.load(bootstrap.backend)(bootstrap.options)
        if loaded is None:
            backend.prepare()
            loaded = load(bootstrap)
    else:
        loaded = loaded or load(bootstrap)
        backend = registry.load(loaded.interface)(bootstrap.options)
        # Who named the backend has heard it from the supervisor.
        if note := registry.unheeded(type(backend), bootstrap.options):
            log.warning("%s", note)
    options = bootstrap.options
    if bootstrap.mounts and loaded.interface == "asgi":  # the threads are for those that speak WSGI
        options = replace(options, threads=1)
    registry.require(type(backend), interface=loaded.interface, options=options)
    return backend, loaded


def _transfer(routing: Routing | None) -> Transfer | None:
    if routing is None:
        return None
    table = [(Route(host, path), owner) for host, path, owner in routing.table]
    return Transfer(routing.passages, Routes(table, routing.mine))


def _listeners(fds: Sequence[int]) -> list[socket.socket]:
    return [sockets.adopt(fd) for fd in fds]
