# A fork server that is born first of all, before it is known what is to be served: it imports what it needs
# while the supervisor imports what that needs, reads flags and binds addresses. Both share what is in memory.
#
# Rule: what begins here must not be told from what supervisor/processes/workers/forkserver.py starts with
# exec(3). So it forks while there are one thread and nothing but modules, out of a plain interpreter, and
# takes over what an exec would have: environment, folder, signals, the limit of open files, and no descriptor
# but its own. Whoever forks may find out that there is nothing to serve: then this process ends with it, and
# says nothing.

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import sys

# All that supervisor and fork server both import, so that they share it.
import bigtop.backends.cutoff
import bigtop.backends.registry
import bigtop.hooks.names
import bigtop.ipc.handoff
import bigtop.ipc.keyring
import bigtop.ipc.scoreboard
import bigtop.sockets
import bigtop.target
import bigtop.workers.identity
from bigtop.ipc import lifeline
from bigtop.system import descriptors, kernel
from bigtop.workers.bootstrap import Bootstrap

_PROGRAM = "bigtop.workers.forkserver"


def is_possible() -> bool:
    """Whether this interpreter is as one that was just started, and nobody watches what it does."""
    words = sys.orig_argv[1:]
    plain = words[:2] == ["-m", "bigtop"] or (bool(words) and os.path.basename(words[0]) == "bigtop")
    return plain and sys.gettrace() is None and sys.getprofile() is None and kernel.threads_running() == 1


def begin() -> tuple[int, socket.socket, int] | None:
    """Fork. Returns the pid with our ends of its control line and its stderr, None where it cannot be; does
    not return in the fork server and its workers."""
    descriptors.settle()
    gc.freeze()  # the collector would write to every object's header and so copy every shared page
    with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
        # Ctrl-C is for both of us until the fork server has a session of its own.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            control, far = lifeline.pair()
            ours.callback(control.close)
            theirs.callback(far.close)
            read_end, write_end = os.pipe()
            ours.callback(os.close, read_end)
            theirs.callback(os.close, write_end)
            pid = os.fork()
        except OSError:  # what is short now is told by who asks for it next
            pid = -1
        if pid != 0:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if pid < 0:
            return None
        if pid > 0:
            ours.pop_all()
            return pid, control, read_end
        theirs.pop_all()
    sys.exit(_wait(far, write_end))


def expect(control: socket.socket, backend: str) -> None:
    """Have it import what serving with `backend` takes, while the supervisor imports what that needs."""
    with contextlib.suppress(OSError):  # it died: so says Begin
        lifeline.send(control, lifeline.Expect(backend))


def _wait(control: socket.socket, stderr: int) -> int:
    """Become a fork server as soon as it is known of what; return the exit status."""
    os.setsid()
    _forget_parent(control, stderr)
    kernel.die_with_parent()
    if lifeline.is_cut(control):
        return 0
    from bigtop.workers import forkserver  # with all that hangs on it

    gc.freeze()
    gc.enable()
    sys.modules["__main__"] = forkserver
    received = lifeline.receive(control, lifeline.MOST_FDS)
    if received is not None and isinstance(received[0], lifeline.Expect):
        _import_for(received[0].backend)
        received = lifeline.receive(control, lifeline.MOST_FDS)
    if received is None:
        return 0
    begun, (orders, environ, folder) = received
    assert isinstance(begun, lifeline.Begin)
    kernel.raise_file_limit()
    _enter(folder)
    _set_environ(json.loads(forkserver.take(environ)))
    bootstrap = Bootstrap.decode(forkserver.take(orders))
    inherited = forkserver.inherited(control, bootstrap)
    if inherited is None:
        return 0
    sys.argv[:] = [str(forkserver.__file__), str(control.fileno()), str(orders), str(begun.generation)]
    sys.orig_argv[:] = [sys.executable, "-P", "-m", _PROGRAM, *sys.argv[1:]]
    return forkserver.run(control, inherited, sys.argv)


def _import_for(backend: str) -> None:
    if backend in ("wsgi", "asgi"):
        bigtop.backends.registry.load(backend)
    elif not backend:  # what both of them take: the application says later which it is
        pass


def _forget_parent(control: socket.socket, stderr: int) -> None:
    """Take back what an exec would have."""
    os.dup2(stderr, 2)
    kernel.set_title("bigtop: fork server")
    kernel.reset_signals()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    descriptors.close_others((control.fileno(),))
    if not sys.flags.safe_path:
        del sys.path[0]


def _enter(folder: int) -> None:
    """Go to where the supervisor is, also where nobody may go who is not there."""
    if not os.path.samestat(os.fstat(folder), os.stat(".")):
        os.fchdir(folder)
    os.close(folder)


def _set_environ(environ: dict[str, str]) -> None:
    for name in set(os.environ) - set(environ):
        del os.environ[name]
    for name, value in environ.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
