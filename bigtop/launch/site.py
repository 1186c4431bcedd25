# `bigtop serve`: one application, from a spec to a running program.
#
# serve() reads as a list: bind, describe, start, wait, clean up. Rule: what is decided here is who is given
# what; nothing here decides what happens to a process (supervisor/machine.py does).

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass

from bigtop import log, pidfile, sockets
from bigtop.backends import catalogue
from bigtop.config.serve import ServeSpec
from bigtop.errors import AppError
from bigtop.launch import program
from bigtop.launch.app import App, check
from bigtop.launch.program import STOPS, Stopping
from bigtop.supervisor import journal, messages
from bigtop.supervisor.core import Supervisor
from bigtop.supervisor.process import spawn
from bigtop.supervisor.streams.reader import LineReader

logger = logging.getLogger("bigtop.supervisor")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a start-up summary can tell, once it is known."""

    spec: ServeSpec
    interface: str
    backend: str
    preload: str  # "yes", or why not
    addresses: tuple[str, ...]
    pid: int


Summary = Callable[[Facts], None]


def serve(spec: ServeSpec, summary: Summary | None = None) -> int:
    """Serve until told to stop; return the exit status.

    Raises ConfigError, BindError and AppError (the application cannot be loaded at first start) with
    everything released again. Main thread only, since it takes the process' signals.
    """
    check(spec)
    log.configure(spec.logs.level, json=spec.logs.json, path=spec.error_logfile)
    if note := catalogue.explain(spec.backend or ""):
        logger.info("%s", note)
    with contextlib.ExitStack() as cleanup:
        cleanup.enter_context(program.signals_held_back())
        cleanup.enter_context(pidfile.held(spec.pidfile))
        listeners = sockets.activated(os.environ) or sockets.bind_all(spec.binds)
        for listener in listeners:
            cleanup.callback(listener.close)
        app = App(spec, listeners)
        cleanup.callback(app.close)
        app.own_access_log()
        program.take_charge(f"bigtop: supervisor [{spec.name}]")
        logger.info("listening on %s", ", ".join(listener.address() for listener in listeners))
        cleanup.callback(program.sweep, program.children())
        return asyncio.run(_Site(app, listeners, summary).run())


_SCALES = {signal.SIGTTIN: 1, signal.SIGTTOU: -1}


class _Site:
    """One served application, from start to stop. Event loop only."""

    def __init__(self, app: App, listeners: list[sockets.ListeningSocket], summary: Summary | None) -> None:
        self._app = app
        self._listeners = listeners
        self._summary = summary
        self._addresses = tuple(listener.address() for listener in listeners)
        self._supervisor = Supervisor(self._hear, lambda _spec, feed: app.make_pool(feed))
        self._started = False
        self._failure: str | None = None
        self._stopping = Stopping()
        self._over = asyncio.Event()
        self._supervisor.enter(app.watcher())

    async def run(self) -> int:
        with program.signals_taken(self._on_signal, self._known):
            self._feed(messages.Start())
            if self._app.spec.reload:
                _watch_files(self._app.spec, self._file_changed)
            await self._over.wait()
        if self._failure is not None:
            message, _, traceback = self._failure.partition("\n")
            raise AppError(message, traceback)
        return 0

    def _feed(self, event: messages.Event) -> None:
        self._supervisor.feed(self._app.spec.name, event)

    # ---- what is asked of us

    def _on_signal(self, number: int) -> None:
        name = signal.Signals(number).name
        if number in STOPS:
            self._stop(number)
        elif self._stopping.urgency is not None:
            logger.info("%s ignored: stopping", name)
        elif number == signal.SIGUSR1:
            log.reopen()
            self._app.reopen_logs()
            logger.info("logs reopened")
        elif number == signal.SIGHUP:
            logger.info("%s: reloading", name)
            self._feed(messages.Reload())
        else:
            wanted = self._supervisor.watcher(self._app.spec.name).numprocesses
            count = max(1, wanted + _SCALES[signal.Signals(number)])
            logger.info("%s: %d worker%s from now on", name, count, "" if count == 1 else "s")
            self._feed(messages.Scale(count))

    def _stop(self, number: int) -> None:
        urgency = self._stopping.asked(number)
        if urgency is None:
            return
        # A port that nobody will serve any more refuses at once, so that a balancer can turn elsewhere: all
        # copies of the socket have to go for that, ours, those of fork servers, those of draining workers.
        for listener in self._listeners:
            listener.close()
        self._app.pool.servers.discard_all()
        self._feed(messages.Stop(urgency))

    def _file_changed(self, lines: bytes) -> None:
        if self._stopping.urgency is None:
            logger.info("changed: %s; reloading", lines.decode("utf-8", "replace").strip())
            self._feed(messages.Reload())

    # ---- what happens

    def _hear(self, name: str, notice: messages.Notice) -> None:
        words = self._app.pool.last_words.get(notice.wid, ()) if isinstance(notice, messages.Died) else ()
        first_start_failed = isinstance(notice, messages.GaveUp) and not self._started
        if not first_start_failed:  # that one is raised, and told by whoever called us
            logger.log(*journal.line(name, notice, words))
        match notice:
            case messages.Started() if not self._started:
                self._started = True
                self._tell_summary()
            case messages.GaveUp(reason):
                self._failure = reason
            case messages.Stopped():
                self._over.set()

    def _tell_summary(self) -> None:
        if self._summary is None:
            return
        spec, interface = self._app.spec, self._app.pool.interface
        backend = _backend(spec.backend, interface)
        self._summary(Facts(spec, interface, backend, self._app.preload, self._addresses, os.getpid()))

    def _known(self) -> set[int] | None:
        # A worker may be ours before we were told its pid; until then nobody is a stranger for sure.
        return None if self._app.pool.servers.forking else self._supervisor.pids()


def _backend(asked: str | None, interface: str) -> str:
    """Return the backend's name, and why it is this one where nobody asked for it."""
    if asked:
        return catalogue.canonical(asked)
    return f"{interface}, since the application speaks {interface.upper()}"


def _watch_files(spec: ServeSpec, changed: Callable[[bytes], None]) -> None:
    """Start the process that watches source files; it ends with us."""
    folders = [spec.identity.chdir or os.getcwd(), *spec.identity.pythonpath]
    read_end, write_end = os.pipe()
    argv = [sys.executable, "-P", "-m", "bigtop.workers.reloader", *folders, "--", *spec.reload_extra_files]
    try:
        spawn(argv, os.environ, stdout=write_end)
    finally:
        os.close(write_end)
    LineReader(read_end, changed)
