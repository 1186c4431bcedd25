# Standalone worker, without a supervisor of ours: below Circus, systemd, supervisord, or by hand.
#
# Rule 1: the same life as below our own, without a line to anybody. TERM drains; INT and QUIT
# leave; USR1 reopens the access log.
# Rule 2: nobody kills what hangs. A process that was told to leave leaves by itself, from its import on.

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import os
import select
import signal
import socket
import sys
import threading
from _thread import start_new_thread  # by name, as sleep: gevent puts its own in their modules
from collections.abc import Iterator, Sequence
from time import sleep

from bigtop.backends import ending, registry
from bigtop.backends.base import Backend
from bigtop.backends.cutoff import CutOff
from bigtop.backends.serve_options import ServeOptions
from bigtop.ipc.scoreboard import Slot, Word
from bigtop.loader import LoadedApp
from bigtop.log import logger as get_logger
from bigtop.record import Record
from bigtop.system import kernel, signals
from bigtop.workers.life import ASKED_TO_LEAVE, Life
from bigtop.workers.request_quota import RequestQuota
from bigtop.workers.shutdown import Shutdown

log = get_logger("bigtop.worker")

_POLL = select.poll  # likewise
_LATE = 1.0  # seconds in which an import that was interrupted should have ended


class StandaloneOptions(Record):
    """How a lone worker serves."""

    backend: str | None  # None: chosen by interface
    graceful_timeout: float
    access_log: str | None
    options: ServeOptions


def prepared(own: StandaloneOptions) -> Backend | None:
    """Return the backend that was asked for, ready for the application's import; None: ask choose()."""
    if own.backend is None:
        return None
    backend = registry.load(own.backend)(own.options)
    backend.prepare()
    return backend


def choose(own: StandaloneOptions, app: LoadedApp) -> Backend:
    """Return the backend for the interface of `app`."""
    log.info("backend %s, since %s speaks %s", app.interface, app.target, app.interface.upper())
    return registry.load(app.interface)(own.options)


def born(own: StandaloneOptions) -> Life:
    """Take the signals of this process, which may be told to leave from now on; main thread only. What is
    returned has to be told of its end()."""
    atexit.register(_nothing_follows)  # before those of the application, and called after them
    slot = Slot.unseen()
    slot.words[Word.PID] = os.getpid()
    quota = RequestQuota(0)
    life = Life(None, slot, quota, Shutdown(slot, own.graceful_timeout))
    life.install_signals()
    return life


def _nothing_follows() -> None:
    """Python takes a while to end, and a signal that comes too late must not make a status of its own."""
    if threading.current_thread() is threading.main_thread():
        signal.pthread_sigmask(signal.SIG_BLOCK, ASKED_TO_LEAVE)  # what came before is handled here
        _accept_late_signals()
        for number in ASKED_TO_LEAVE:
            signal.signal(number, signal.SIG_IGN)


def _accept_late_signals() -> None:
    """Have Python say nothing of a signal that another thread was given while its handler was taken away:
    masks are per thread, and what calls handlers is the main thread alone (PyErr_CheckSignals)."""
    usual = sys.unraisablehook

    def tell(unraisable: sys.UnraisableHookArgs) -> None:
        if "ignored due to race condition" not in str(unraisable.exc_value):
            usual(unraisable)

    sys.unraisablehook = tell


@contextlib.contextmanager
def importing(life: Life) -> Iterator[None]:
    """For the application's import and what else comes before serve(). Whoever is told to leave in it has
    nothing to finish: it ends with CutOff, whatever the application made of being interrupted."""
    done = os.eventfd(0, os.EFD_CLOEXEC)
    start_new_thread(_leave_if_told, (life.fileno(), done))
    life.importing = True
    try:
        yield
    except BaseException as error:  # whatever the application made of it
        if life.draining:
            raise CutOff from error
        raise
    finally:
        life.importing = False
        os.eventfd_write(done, 1)
    if life.draining:
        raise CutOff


def _leave_if_told(told: int, done: int) -> None:
    """End this process if an import goes on although it was interrupted: it waits in C code."""
    poll = _POLL()
    poll.register(told, select.POLLIN)
    poll.register(done, select.POLLIN)
    if all(fd != done for fd, _mask in poll.poll()):
        sleep(_LATE)
        poll.unregister(told)
        if not poll.poll(0):
            log.warning("the import cannot be interrupted: the worker ends in the middle of it")
            ending.leave(0)
    os.close(done)


def serve(
    life: Life, own: StandaloneOptions, backend: Backend, app: LoadedApp, listeners: Sequence[socket.socket]
) -> None:
    """Serve until a signal ends it; main thread only."""
    unix = any(listener.family == socket.AF_UNIX for listener in listeners)
    registry.require(type(backend), interface=app.interface, options=own.options, unix=unix)
    if note := registry.unheeded(type(backend), own.options):
        log.warning("%s", note)
    life.open_access_log(own.access_log)
    faulthandler.register(signals.STACK_SIGNAL, all_threads=True)
    faulthandler.enable()
    kernel.widen_signal_stack()
    addresses = ", ".join(str(listener.getsockname()) for listener in listeners)
    log.info("serving %s on %s with backend %s", app.target, addresses, backend.name)
    try:
        backend.serve(listeners, app.app, life)
    except CutOff:  # the backend knows no such end
        log.warning("the application is left in the middle of a call: its time to finish is over")
    life.cut_off()
    log.info("stopped")
