# A fork server: imports the application once, then forks workers on request.
#
# Started by supervisor/forkservers.py as `python -m bigtop.workers.forkserver CONTROL BOOTSTRAP GENERATION`.
# Rules: one thread, no event loop, nothing shared with the supervisor but one line and some descriptors. It
# forks twice, so that the worker, an orphan, is adopted by the supervisor, its nearest subreaper: worker and
# fork server do not need each other from then on. It ends when its line does.

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
from dataclasses import dataclass

from bigtop import kernel, lifeline, loader, log
from bigtop.backends import registry
from bigtop.backends.base import Backend
from bigtop.errors import AppError, BigtopError
from bigtop.workers import boot, identity
from bigtop.workers.bootstrap import Bootstrap

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
)


# By name, before the application is imported: gevent puts its own in their place, which want its event loop.
_fork, _waitpid = os.fork, os.waitpid


@dataclass(frozen=True, slots=True)
class _Order:
    """What a newly forked process turns into."""

    fork: lifeline.Fork
    line: int
    stderr: int


def main(argv: list[str]) -> int:
    control = socket.socket(fileno=int(argv[1]))
    bootstrap = Bootstrap.decode(_read(int(argv[2])))
    generation = int(argv[3])
    importing = argv[4:]  # why the workers import for themselves: told by our predecessor in this process
    kernel.set_title(f"bigtop: fork server [{bootstrap.name}] gen {generation}")
    for number in _NOT_FOR_US:
        signal.signal(number, lambda _number, _frame: None)
    try:
        log.configure(bootstrap.logs.level, json=bootstrap.logs.json)
        identity.assume(bootstrap.identity)
        kernel.die_with_parent()
        if lifeline.is_cut(control):  # the supervisor was gone before that, and would not be missed
            return 0
        backend = registry.load(bootstrap.backend)(bootstrap.options) if bootstrap.backend else None
        loaded, reason = _preload(bootstrap, backend, importing[0] if importing else None)
        if reason and loaded:
            _start_over(argv, reason)
    except BigtopError as error:
        traceback = error.traceback if isinstance(error, AppError) else ""
        _answer(control, lifeline.LoadFailed(str(error), traceback))
        return error.exit_status
    interface = loaded.interface if loaded else ""
    _answer(control, lifeline.Loaded(loaded is not None, interface, reason))
    order = _serve(control)
    if order is None:
        return 0
    control.close()
    return boot.run(
        bootstrap, boot.Birth(order.fork.key, order.fork.wid, generation, order.line, order.stderr), loaded
    )


def _read(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)


def _preload(
    bootstrap: Bootstrap, backend: Backend | None, importing: str | None
) -> tuple[loader.LoadedApp | None, str]:
    """Import the application if that is wanted; say what the import left behind that a fork would break."""
    if importing is not None:
        return None, importing
    if bootstrap.preload == "off":
        return None, "off"
    sockets, threads = kernel.sockets_open(), kernel.threads_running()
    if backend is not None:
        backend.prepare()
    loaded = boot.load(bootstrap)
    if bootstrap.preload == "on":
        return loaded, ""
    found = []
    started = kernel.threads_running() - threads
    if started > 0:
        found.append(f"{started} thread{'s' if started > 1 else ''} ({_thread_names()})")
    opened = len(kernel.sockets_open() - sockets)
    if opened:
        found.append(f"{opened} socket{'s' if opened > 1 else ''}")
    return loaded, f"importing the application started {' and '.join(found)}" if found else ""


def _thread_names() -> str:
    import threading

    names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    return ", ".join(names) or "not Python's"


def _start_over(argv: list[str], reason: str) -> None:
    """Become a fork server that did not import the application: the exec ends threads and sockets."""
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:4], *argv[1:4], reason])  # noqa: S606


def _serve(control: socket.socket) -> _Order | None:
    """Answer requests for workers. Returns None at the end of the line, or, in a new worker, what it is."""
    gc.collect()
    gc.freeze()  # the collector would write to every object's header and so copy every shared page
    while True:
        received = lifeline.receive(control)
        if received is None:
            return None
        message, fds = received
        if not isinstance(message, lifeline.Fork):
            continue
        if len(fds) != 2:  # the kernel drops what the limit of open files has no room for
            _answer(control, lifeline.ForkFailed(message.key, "fork: no descriptor is free"))
        elif _fork_twice(control, message.key):
            return _Order(message, *fds)
        for fd in fds:
            os.close(fd)


def _fork_twice(control: socket.socket, key: int) -> bool:
    """Return True in the worker, False in the fork server.

    The pid is reported after the process in the middle is gone: by then the supervisor is the parent, and
    may wait for the worker however soon it dies.
    """
    ends: tuple[int, ...] = ()
    try:
        read_end, write_end = ends = os.pipe()
        middle = _fork()
    except OSError as error:
        for fd in ends:
            os.close(fd)
        _answer(control, lifeline.ForkFailed(key, f"fork: {error.strerror}"))
        return False
    if middle == 0 and _fork_from_the_middle(write_end):
        os.close(read_end)
        os.close(write_end)
        return True
    os.close(write_end)
    pid = os.read(read_end, 32)
    os.close(read_end)
    _waitpid(middle, 0)
    _answer(control, lifeline.Forked(key, int(pid)) if pid else lifeline.ForkFailed(key, "fork: failed"))
    return False


def _answer(control: socket.socket, message: lifeline.Message) -> None:
    with contextlib.suppress(OSError):  # the supervisor is gone: the next receive() says so
        lifeline.send(control, message)


def _fork_from_the_middle(write_end: int) -> bool:
    """Fork once more; only the worker returns (True)."""
    middle = os.getpid()
    worker = -1
    try:
        worker = _fork()
        if worker > 0:
            os.write(write_end, str(worker).encode())
    finally:
        if worker != 0:
            os._exit(0)
    while os.getppid() == middle:  # it is about to end, and then the supervisor is the parent
        os.sched_yield()
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv))
