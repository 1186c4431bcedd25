# A worker without a supervisor of ours: below Circus, systemd, supervisord, or by hand.
#
# Rule: the same life as below our own, with nobody at the other end of its line. TERM drains; INT and QUIT
# leave; USR1 reopens the access log.

from __future__ import annotations

import faulthandler
import logging
import os
import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from bigtop import kernel, lifeline, signals
from bigtop.backends import registry
from bigtop.backends.base import Backend, ServeOptions
from bigtop.loader import LoadedApp
from bigtop.scoreboard import Scoreboard, Word
from bigtop.workers.life import Life
from bigtop.workers.policy import RequestQuota

log = logging.getLogger("bigtop.worker")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a lone worker serves."""

    backend: str | None  # None: chosen by interface
    graceful_timeout: float
    access_log: str | None
    options: ServeOptions


def prepared(standing: Standing) -> Backend | None:
    """Return the backend that was asked for, ready for the application's import; None: ask choose()."""
    if standing.backend is None:
        return None
    backend = registry.load(standing.backend)(standing.options)
    backend.prepare()
    return backend


def choose(standing: Standing, app: LoadedApp) -> Backend:
    """Return the backend for the interface of `app`."""
    log.info("backend %s, since %s speaks %s", app.interface, app.target, app.interface.upper())
    return registry.load(app.interface)(standing.options)


def serve(standing: Standing, backend: Backend, app: LoadedApp, listeners: Sequence[socket.socket]) -> None:
    """Serve until a signal ends it; main thread only."""
    unix = any(listener.family == socket.AF_UNIX for listener in listeners)
    registry.require(type(backend), interface=app.interface, options=standing.options, unix=unix)
    if note := registry.unheeded(type(backend), standing.options):
        log.warning("%s", note)
    line, _nobody = lifeline.pair()
    slot = Scoreboard(Scoreboard.create(1).fd).slot(0)
    slot.words[Word.PID] = os.getpid()
    life = Life(line, slot, RequestQuota(0, 0, random.Random()), standing.graceful_timeout)  # noqa: S311
    life.install_signals()
    life.open_access_log(standing.access_log)
    faulthandler.register(signals.STACK_SIGNAL, all_threads=True)
    faulthandler.enable()
    kernel.widen_signal_stack()
    addresses = ", ".join(str(listener.getsockname()) for listener in listeners)
    log.info("serving %s on %s with backend %s", app.target, addresses, backend.name)
    backend.serve(listeners, app.app, life)
    log.info("stopped")
