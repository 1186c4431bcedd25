# A fork server: imports the application once, then forks workers on request.
#
# Started by supervisor/processes/workers/forkservers.py as
# `python -m bigtop.workers.forkserver CONTROL BOOTSTRAP GENERATION`; the first one of `bigtop serve` by
# head_start.py.
# Rules: one thread, no event loop, nothing shared with the supervisor but one line and some descriptors. It
# forks twice, so that the worker, an orphan, is adopted by the supervisor, its nearest subreaper: worker and
# fork server do not need each other from then on. It ends when its line does.
#
# An application may put its own in the place of anything (gevent, debuggers, coverage do), and it may have
# its own ideas about SIGCHLD. So what is done here after its import goes by names that were bound before.

from __future__ import annotations

import contextlib
import errno
import gc
import os
import signal
import socket
import sys
from importlib import import_module
from os import _exit, close, getpid, getppid, pipe, read, sched_yield, write
from typing import TYPE_CHECKING

from bigtop import loader, log
from bigtop.backends import registry
from bigtop.backends.base import Backend
from bigtop.errors import AppError, BigtopError, ConfigError
from bigtop.hooks.spec import HookSpec
from bigtop.ipc import keyring, lifeline
from bigtop.record import Record
from bigtop.system import kernel
from bigtop.system.signals import (
    CUT_SIGNAL,
    INTERRUPT_SIGNAL,
    PROFILE_SIGNAL,
    REPORT_SIGNAL,
    STACK_SIGNAL,
)
from bigtop.workers import app_metrics, boot, identity
from bigtop.workers.bootstrap import Bootstrap, Logs
from bigtop.workers.reexec import Reexec

if TYPE_CHECKING:
    from bigtop.backends.native.transport.encryption import Encryption
    from bigtop.hooks.load import LoadedHooks

# Whoever signals "all of bigtop" (pkill, a service manager that signals a whole control group) means the
# supervisor; it tells us what follows from that. A handler that does nothing is not SIG_IGN: that one would
# be inherited through exec by programs that the application starts (signal(7)). Workers inherit these
# handlers and change some.
_NOT_FOR_US = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTTIN,
    signal.SIGTTOU,
    # A worker that was just born has no handlers of its own yet, and the default is to end.
    STACK_SIGNAL,
    REPORT_SIGNAL,
    PROFILE_SIGNAL,
)


# Not by these names: linters know them for what a program must not do without a reason.
_fork, _waitpid, _pthread_sigmask = os.fork, os.waitpid, signal.pthread_sigmask


_FDS = 4  # descriptors that come with an order


class _Order(Record):
    """What a newly forked process turns into."""

    fork: lifeline.Fork
    line: int
    stderr: int
    slot: int
    reports: int

    def assignment(self, generation: int) -> boot.Assignment:
        fork = self.fork
        return boot.Assignment(
            fork.key, fork.wid, generation, self.line, self.stderr, self.slot, self.reports, fork.held
        )


def main(argv: list[str]) -> int:
    return run(socket.socket(fileno=int(argv[1])), Bootstrap.decode(take(int(argv[2]))), argv)


def run(control: socket.socket, bootstrap: Bootstrap, argv: list[str]) -> int:
    """Be a fork server, or one of its workers; return the exit status."""
    generation = int(argv[3])
    importing = argv[4:]  # why the workers import for themselves: told by our predecessor in this process
    for fd in (control.fileno(), *bootstrap.descriptors()):
        os.set_inheritable(fd, False)  # programs that the application starts have no business with them
    kernel.set_title(f"bigtop: fork server [{bootstrap.name}] gen {generation}")
    for number in _NOT_FOR_US:
        signal.signal(number, lambda _number, _frame: None)
    try:
        _begin_to_log(bootstrap.logs)
        identity.assume(bootstrap.identity)
        kernel.die_with_parent()
        boot.heed_crashes()
        if lifeline.is_cut(control):  # the supervisor was gone before that, and would not be missed
            return 0
        app_metrics.install(bootstrap.app_metrics, f"f{generation}")
        again = Reexec.prepared(argv[:4], control.fileno(), bootstrap)
        executed = _execute(bootstrap.hooks)  # before the import, which may count on what it does
        if bootstrap.backend is not None:
            registry.load(bootstrap.backend)  # imported once, for all workers
        loaded, reason = _preload(bootstrap, importing[0] if importing else None)
        if reason and loaded:
            again.start_over(reason)
        encryption = boot.encryption(bootstrap)
    except BigtopError as error:
        traceback = error.traceback if isinstance(error, AppError) else ""
        _answer(control, lifeline.LoadFailed(str(error), traceback))
        return error.exit_status
    interface = loaded[1].interface if loaded else ""
    _answer(control, lifeline.Loaded(loaded is not None, interface, reason))
    if bootstrap.refork and loaded is not None:
        import_module("bigtop.workers.refork")  # once, for all workers
    return _have_workers(control, bootstrap, generation, boot.Prepared(loaded, executed, encryption))


def _have_workers(
    control: socket.socket, bootstrap: Bootstrap, generation: int, prepared: boot.Prepared
) -> int:
    """Fork workers. In one of these, be that, and then what it becomes; return the exit status."""
    while (order := _serve(control, prepared.encryption)) is not None:
        control.close()
        end = boot.run(bootstrap, order.assignment(generation), prepared)
        if end.control is None:
            return end.status
        control = end.control
        promoted = _promoted(control, bootstrap)
        if promoted is None:
            return 0
        bootstrap, generation = promoted
    return 0


def _promoted(control: socket.socket, bootstrap: Bootstrap) -> tuple[Bootstrap, int] | None:
    """Be a fork server after having been a worker; return the orders of its workers and their generation,
    None if nobody wants that."""
    for number in _NOT_FOR_US:
        signal.signal(number, lambda _number, _frame: None)
    for number in (CUT_SIGNAL, INTERRUPT_SIGNAL):
        signal.signal(number, signal.SIG_DFL)
    kernel.die_with_parent()
    received = lifeline.receive(control, _FDS)
    if received is None or not isinstance(received[0], lifeline.Begin):
        return None
    generation = received[0].generation
    kernel.set_title(f"bigtop: fork server [{bootstrap.name}] gen {generation}")
    app_metrics.become(f"f{generation}")
    orders = inherited(control, bootstrap)
    if orders is None:
        return None
    for fd in orders.answers:  # these have stayed open all the time
        close(fd)
    return orders, generation


def inherited(control: socket.socket, bootstrap: Bootstrap) -> Bootstrap | None:
    """Return the orders with the descriptors that come behind Begin; None at the end of the line."""
    fds: list[int] = []
    while len(fds) < len(bootstrap.descriptors()):
        received = lifeline.receive(control, lifeline.MOST_FDS)
        if received is None:
            return None
        fds += received[1]
    return bootstrap.with_descriptors(fds)


def _execute(hooks: HookSpec) -> LoadedHooks | None:
    """Execute files and modules with settings and hooks, None where there are none."""
    if not hooks.asks_for_something:
        return None
    from bigtop.hooks import load, source  # here: few sites have any

    for location in hooks.locations:
        source.execute(location)
    loaded = load.LoadedHooks(hooks)
    loaded.take_over()
    return loaded


def _begin_to_log(logs: Logs) -> None:
    if logs.capture:
        os.dup2(2, 1)
    log.configure(logs.level, json=logs.json, time_zone=logs.time_zone)


def take(fd: int) -> bytes:
    """Read what nobody else is to have, as our orders are."""
    try:
        return os.pread(fd, os.fstat(fd).st_size, 0)
    finally:
        os.close(fd)


def _preload(
    bootstrap: Bootstrap, importing: str | None
) -> tuple[tuple[Backend, loader.LoadedApp] | None, str]:
    """Import the application if that is wanted; say what the import left behind that a fork would break."""
    if importing is not None:
        return None, importing
    if bootstrap.preload == "off":
        return None, "off"
    sockets, threads, locks = kernel.sockets_open(), kernel.threads_running(), kernel.locks_held()
    loaded = boot.load(bootstrap)
    if bootstrap.preload == "on":
        return loaded, ""
    found = []
    started = kernel.threads_running() - threads
    if started > 0:
        found.append(f"started {_number(started, 'thread')} ({_thread_names()})")
    opened = len(kernel.sockets_open() - sockets)
    if opened:
        found.append(f"opened {_number(opened, 'socket')}")
    # Whoever locks a file means to be the only one; a fork has the same lock (flock(2)).
    locked = kernel.locks_held() - locks
    if locked > 0:
        found.append(f"locked {_number(locked, 'file')}")
    return loaded, f"importing the application {' and '.join(found)}" if found else ""


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count > 1 else ''}"


def _thread_names() -> str:
    import threading

    names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    return ", ".join(names) or "not Python's"


def _serve(control: socket.socket, encryption: Encryption | None) -> _Order | None:
    """Answer requests for workers. Returns None at the end of the line, or, in a new worker, what it is."""
    app_metrics.forget_files()
    gc.collect()
    gc.freeze()  # the collector would write to every object's header and so copy every shared page
    # A handler of the application for dead children is not to meet those of ours.
    mask = _pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
    while True:
        received = lifeline.receive(control, _FDS)
        if received is None:
            return None
        message, fds = received
        if isinstance(message, lifeline.Certificates) and encryption is not None:
            _renew(encryption, *fds)
        if not isinstance(message, lifeline.Fork):
            continue
        if len(fds) != _FDS:  # the kernel drops what the limit of open files has no room for
            _answer(control, lifeline.ForkFailed(message.key, f"fork: {os.strerror(errno.EMFILE)}"))
        elif _fork_twice(control, message.key):
            _pthread_sigmask(signal.SIG_SETMASK, mask)
            return _Order(message, *fds)
        for fd in fds:
            close(fd)


def _renew(encryption: Encryption, fd: int) -> None:
    """Have workers to come serve with the certificates in a sealed file."""
    with contextlib.suppress(ConfigError):  # the supervisor tried them; workers say what is wrong
        encryption.contexts.use(keyring.read(fd))
    close(fd)


def _fork_twice(control: socket.socket, key: int) -> bool:
    """Return True in the worker, False in the fork server."""
    ends: tuple[int, ...] = ()
    try:
        read_end, write_end = ends = pipe()
        middle = _fork()
    except OSError as error:
        for fd in ends:
            close(fd)
        _answer(control, lifeline.ForkFailed(key, f"fork: {error.strerror}"))
        return False
    if middle == 0 and _fork_from_the_middle(write_end):
        close(read_end)
        close(write_end)
        return True
    close(write_end)
    forked = read(read_end, 1)
    close(read_end)
    with contextlib.suppress(ChildProcessError):  # where SIGCHLD is ignored, nobody has to be waited for
        _waitpid(middle, 0)
    if not forked:
        _answer(control, lifeline.ForkFailed(key, "fork: failed"))
    return False


def _answer(control: socket.socket, message: lifeline.Message) -> None:
    with contextlib.suppress(OSError):  # the supervisor is gone: the next receive() says so
        lifeline.send(control, message)


def _fork_from_the_middle(write_end: int) -> bool:
    """Fork once more; only the worker returns (True), once the supervisor is its parent."""
    middle = getpid()
    worker = -1
    try:
        worker = _fork()
        if worker > 0:
            write(write_end, b"1")
    finally:
        if worker != 0:
            _exit(0)
    while getppid() == middle:  # it is about to end
        sched_yield()
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv))
