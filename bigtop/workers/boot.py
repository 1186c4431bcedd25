# Boot of a worker: what it does from fork to exit, in order.
#
# Rule: run() reads as a list. Everything it needs comes in as arguments; nothing of the supervisor and
# nothing of the fork server but the imported application is reachable from here.

from __future__ import annotations

import contextlib
import faulthandler
import os
import socket
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from bigtop import loader, paste, sockets
from bigtop.backends import registry
from bigtop.backends.base import Backend
from bigtop.backends.cutoff import CutOff
from bigtop.backends.native.app_queues import AppQueues
from bigtop.errors import AppError, BigtopError
from bigtop.hooks.names import REQUEST
from bigtop.hooks.no_hooks import NoHooks
from bigtop.http.declarations import Route
from bigtop.http.paths.routes import Routes
from bigtop.ipc import lifeline, scoreboard
from bigtop.ipc.handoff import Handoff
from bigtop.ipc.scoreboard import Slot, Word
from bigtop.ipc.seats import Seat, Seats, SeatState
from bigtop.log import logger as get_logger
from bigtop.record import Record
from bigtop.system import kernel, signals
from bigtop.workers import app_metrics
from bigtop.workers.bootstrap import Bootstrap
from bigtop.workers.life import Life
from bigtop.workers.reporter import Reporter
from bigtop.workers.request_quota import RequestQuota
from bigtop.workers.shutdown import Shutdown

if TYPE_CHECKING:
    from bigtop.backends.native.transport.encryption import Encryption
    from bigtop.hooks.load import LoadedHooks
    from bigtop.ipc.cache_arena import Arena
    from bigtop.ipc.client_table import ClientTable
    from bigtop.loader import LoadedApp
    from bigtop.workers.refork import Before

log = get_logger("bigtop.worker")


class Assignment(Record):
    """What tells this worker from its siblings; `line`, `stderr`, `slot` and `reports` are descriptors. One
    that is `held` takes no clients before it is told to."""

    key: int
    wid: int
    generation: int
    line: int
    stderr: int
    slot: int
    reports: int
    held: bool = False


class Prepared(NamedTuple):
    """What a fork server has made for all its workers: the application with its backend, None where each
    imports it for itself; hooks, None where there are none; how to encrypt, None where nothing is.

    What is written to memory before a fork is written once, after it by each worker. So what can be, is made
    there.
    """

    loaded: tuple[Backend, LoadedApp] | None
    executed: LoadedHooks | None = None
    encryption: Encryption | None = None


class End(NamedTuple):
    """How a worker has ended: with its exit status, or as a fork server on the line `control`."""

    status: int
    control: socket.socket | None = None


def run(bootstrap: Bootstrap, own: Assignment, prepared: Prepared) -> End:
    """Be a worker until told to leave."""
    line = socket.socket(fileno=own.line)
    with contextlib.suppress(OSError):  # the supervisor is gone; that is looked for below
        lifeline.send(line, lifeline.Born())
    _settle(bootstrap, own)
    seats = Seats(bootstrap.seats)
    os.close(bootstrap.seats)
    slot = _take_slot(bootstrap, own, seats)
    warm = bootstrap.refork if prepared.loaded else 0
    quota = RequestQuota(_most_requests(bootstrap.max_requests, bootstrap.max_requests_jitter), warm)
    queues = bootstrap.handoff
    handoff = Handoff(queues, seats, own.wid - 1, slot.words) if queues else None
    shutdown = Shutdown(slot, bootstrap.graceful_timeout)
    life = Life(line, slot, quota, shutdown, handoff, _app_queues(bootstrap), Reporter(own.reports))
    life.held = own.held
    life.install_signals()
    kernel.die_with_parent()  # an import that hangs would not notice that the supervisor is gone
    if lifeline.is_cut(line):  # it went before that: whose child we are now lives on
        return End(0)
    status, before = 0, _before(quota.warm)
    hooks = NoHooks()
    try:
        hooks = _hooks(prepared.executed, own.key, slot)
        life.open_access_log(bootstrap.logs.access)
        hooks.born()
        life.encryption = prepared.encryption
        backend, app = prepared.loaded or load(bootstrap)
        served = hooks.loaded(app.app, app.interface)
        kernel.outlive_parent()  # from here on the lifeline tells, and requests may be finished
        life.interface = app.interface
        life.accesses, life.reopen_logs = hooks.accesses, hooks.reopen_logs
        life.interrupted = hooks.interrupted
        backend.serve(_listeners(bootstrap.listeners), served, life)  # a backend may find out that it cannot
    except CutOff:  # in an import, or in a backend that knows no such end
        log.warning("the worker ends in the middle of what its main thread did: its time is over")
    except BigtopError as error:
        life.cannot_boot(str(error), error.traceback if isinstance(error, AppError) else "")
        status = error.exit_status
    hooks.over(at_once=shutdown.at_once)
    return _end(before, life, shutdown, own, status)


def _end(before: Before | None, life: Life, shutdown: Shutdown, own: Assignment, status: int) -> End:
    control = None
    if before is not None and not status:
        control = before.become_fork_server(life, shutdown, own.reports)
    if control is None:
        life.end(status)
    return End(status, control)


def _before(warm: int) -> Before | None:
    """Return how things are before the application serves, if a worker may become a fork server."""
    if not warm:
        return None
    from bigtop.workers.refork import Before  # here: most do not

    return Before.now()


def _hooks(executed: LoadedHooks | None, key: int, slot: Slot) -> NoHooks:
    if executed is None:
        return NoHooks()
    from bigtop.hooks.objects import Counts  # here: few sites have hooks
    from bigtop.hooks.worker_hooks import WorkerHooks

    counts = Counts(lambda: slot.words[Word.REQUESTS], lambda: slot.seat[Seat.CONNECTIONS])
    return WorkerHooks(executed, key, os.getppid(), counts)


def encryption(bootstrap: Bootstrap) -> Encryption | None:
    """Return how workers encrypt, None where nothing is. ConfigError: OpenSSL does not take a certificate."""
    if bootstrap.keyring is None:
        return None
    # Here: with OpenSSL, for those who encrypt, and behind gevent's patches.
    from bigtop.backends.native.transport.encryption import Encryption
    from bigtop.backends.native.transport.tls_contexts import TlsContexts
    from bigtop.ipc import keyring
    from bigtop.keeper.publishing.answers import Answers

    answers = Answers(*bootstrap.answers) if bootstrap.answers else None
    ring, policy = keyring.read(bootstrap.keyring), bootstrap.options.tls
    contexts = TlsContexts(ring, policy, challenge=None if answers is None else answers.pair)
    log.info("%s", contexts.tickets)
    return Encryption(contexts, frozenset(bootstrap.encrypted), answers)


def heed_crashes() -> None:
    """Have Python tell the stacks of all threads where C code crashes. What a worker inherits of that is as
    good as its own, once it has asked for what goes to descriptors of its own."""
    faulthandler.enable()
    kernel.widen_signal_stack()


def load(bootstrap: Bootstrap) -> tuple[Backend, LoadedApp]:
    """Import the application, and make its backend. AppError: the former fails; ConfigError: that backend
    cannot do what is asked for."""
    backend = None
    if bootstrap.backend is not None:
        backend = registry.load(bootstrap.backend)(bootstrap.options)
        backend.prepare()
    loaded = _import(bootstrap)
    options = bootstrap.options
    if backend is None:
        backend = registry.load(loaded.interface)(options)
        # Who named the backend has heard it from the supervisor.
        if note := registry.unheeded(type(backend), options):
            log.warning("%s", note)
    if bootstrap.mounts:
        options = options.behind_mounts(loaded.interface)
    registry.require(
        type(backend),
        interface=loaded.interface,
        options=options,
        request_hooks=not REQUEST.isdisjoint(bootstrap.hooks.names),
        tls=bool(bootstrap.encrypted),
    )
    if bootstrap.refork:
        registry.require_reforking(type(backend))
    return backend, loaded


def _import(bootstrap: Bootstrap) -> LoadedApp:
    if bootstrap.paste_logging:
        paste.configure_logging(bootstrap.app)
    main = loader.load(bootstrap.app, factory=bootstrap.factory, interface=bootstrap.interface)
    below = () if bootstrap.routing is None else bootstrap.routing.mounted
    if not (bootstrap.mounts or below):
        return main
    from bigtop.backends.asgi.calls import mounted

    combined = mounted.load(main, bootstrap.mounts, bootstrap.options, otherwise=bootstrap.interface)
    return mounted.below(combined, below)


def _most_requests(limit: int, jitter: int) -> int:
    """Return after how many requests this worker is replaced, 0 for never: `limit` and a share of `jitter`,
    so that workers born together do not retire together."""
    if not limit or not jitter:
        return limit
    from random import Random

    return limit + Random().randint(0, jitter)  # noqa: S311


def _settle(bootstrap: Bootstrap, own: Assignment) -> None:
    os.setsid()  # a group of its own, so that all it starts can be ended with it
    os.dup2(own.stderr, 2)
    if bootstrap.logs.capture:
        os.dup2(own.stderr, 1)
    os.close(own.stderr)
    if bootstrap.keyring is not None:
        os.close(bootstrap.keyring)
    kernel.set_title(f"bigtop: worker {own.wid} [{bootstrap.name}]")
    app_metrics.become(str(own.wid))
    # C code that writes each thread's Python stack; works while the GIL is held by somebody else.
    faulthandler.register(signals.STACK_SIGNAL, own.reports, all_threads=True)
    kernel.let_trace(os.getppid())  # and what it starts: py-spy, for bigtop ctl stack --native


def _clients(bootstrap: Bootstrap, seats: Seats, mine: int) -> ClientTable | None:
    """Return what workers know together of addresses of clients, None where nothing is limited by these."""
    if bootstrap.clients is None:
        return None
    from bigtop.ipc.client_table import ClientTable

    return ClientTable(bootstrap.clients, seats, mine)


def _arena(bootstrap: Bootstrap, mine: int) -> Arena | None:
    """Return where workers keep answers together, None where nothing is kept."""
    if bootstrap.arena is None:
        return None
    from bigtop.ipc.cache_arena import Arena

    return Arena(bootstrap.arena, mine)


def _take_slot(bootstrap: Bootstrap, own: Assignment, seats: Seats) -> Slot:
    slot = Slot(scoreboard.attach(own.slot), seats.words(own.wid - 1))
    slot.clients = _clients(bootstrap, seats, own.wid - 1)
    slot.arena = _arena(bootstrap, own.wid - 1)
    os.close(own.slot)
    slot.words[Word.PID] = os.getpid()
    slot.words[Word.KEY] = own.key
    slot.words[Word.GENERATION] = own.generation
    slot.words[Word.STARTED] = time.monotonic_ns()
    slot.seat[Seat.STATE] = SeatState.STARTING
    return slot


def _app_queues(bootstrap: Bootstrap) -> AppQueues | None:
    routing = bootstrap.routing
    if routing is None:
        return None
    table = [(Route(host, path), owner) for host, path, owner in routing.table]
    return AppQueues(routing.app_queues, Routes(table, routing.mine), bootstrap.listeners)


def _listeners(fds: Sequence[int]) -> list[socket.socket]:
    return [sockets.adopt(fd) for fd in fds]
