# `bigtop serve`: one application, from a spec to a running program.
#
# serve() reads as a list: bind, describe, start, wait, clean up. Rule: what is decided here is who is given
# what; nothing here decides what happens to a process (supervisor/policy/watcher.py does).

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from bigtop import log, sockets
from bigtop.backends import catalogue, registry
from bigtop.config.serve import paste_server
from bigtop.config.serve.serve import ServeSpec
from bigtop.control import addresses
from bigtop.errors import AppError, BigtopError
from bigtop.launch import certificates, program, source_files
from bigtop.launch.app import App, stderr_writer
from bigtop.launch.last_notices import LastNotices
from bigtop.launch.master_hooks import HookError, MasterHooks
from bigtop.launch.program import NO_UPGRADE, STOPS
from bigtop.launch.rereading import Rereading, change
from bigtop.launch.stopping import Stopping
from bigtop.log import logger as get_logger
from bigtop.record import Record, replace
from bigtop.supervisor.policy import log_lines, messages
from bigtop.supervisor.policy.spec import WatcherSpec, Worker
from bigtop.supervisor.policy.watcher import Status
from bigtop.supervisor.processes.child import Process
from bigtop.supervisor.processes.forkserver import Started
from bigtop.supervisor.processes.last_drain import LastDrain
from bigtop.supervisor.runtime import ProcessPool
from bigtop.supervisor.supervisor import Supervisor
from bigtop.system import activation, pidfile
from bigtop.system.notify import Notifier

if TYPE_CHECKING:
    from bigtop.launch.channel import Channel
    from bigtop.launch.keeper import Keeper
    from bigtop.launch.single import Single
    from bigtop.launch.site_helpers import SiteHelpers

logger = get_logger("bigtop.supervisor")


class SummaryFacts(Record):
    """What a start-up summary can tell, once it is known."""

    spec: ServeSpec
    interface: str
    backend: str
    preload: str  # "yes", or why not
    addresses: tuple[str, ...]
    pid: int


Summary = Callable[[SummaryFacts], None]


def serve(
    spec: ServeSpec,
    summary: Summary | None = None,
    rereading: Rereading | None = None,
    early: Started | None = None,
) -> int:
    """Serve until told to stop; return the exit status. `rereading` reads a configuration file again at HUP;
    `early` is a fork server that had a head start.

    Raises ConfigError, BindError and AppError (the application cannot be loaded at first start) with
    everything released again. Main thread only, since it takes the process' signals.
    """
    log.configure(
        spec.logs.level, json=spec.logs.json, path=spec.error_logfile, time_zone=spec.logs.time_zone
    )
    if rereading is not None and rereading.has_file:
        logger.info("settings are those of %s", rereading.label)
    _tell_notes(spec)
    with contextlib.ExitStack() as cleanup:
        cleanup.enter_context(program.signals_held_back())
        cleanup.enter_context(pidfile.held(spec.pidfile))
        listeners = activation.activated(os.environ)
        if listeners:
            logger.info("the sockets are those that were passed on (LISTEN_FDS): --bind has no effect")
            certificates.mark(listeners, spec)
        else:
            listeners = sockets.bind_all(spec.binds)
        for listener in listeners:
            cleanup.callback(listener.close)
        notifier = Notifier(os.environ)
        program.take_charge(f"bigtop: supervisor [{spec.name}]")
        keeper = cleanup.enter_context(_kept(spec))
        app = App(spec, listeners, keeper=keeper)
        cleanup.callback(app.close)
        program.check_room()
        app.own_access_log()
        logger.info("listening on %s", ", ".join(listener.address() for listener in listeners))
        site = Site(app, notifier, summary, rereading)
        others = program.children()
        if early is not None:
            others.discard(early.pid)
            app.take(early)
        cleanup.callback(program.sweep, others)
        return asyncio.run(site.run())


def _kept(spec: ServeSpec) -> contextlib.AbstractContextManager[Keeper | None]:
    if spec.tls.acme is None:
        return contextlib.nullcontext()
    from bigtop.launch.keeper import Keeper  # of no use to those who want none

    return contextlib.closing(Keeper(spec.tls.acme, spec.tls.auto))


def _tell_notes(spec: ServeSpec) -> None:
    """Say what is not as somebody may expect."""
    for remark in spec.remarks:
        logger.warning("%s", remark)
    if spec.backend and (note := registry.unheeded(registry.load(spec.backend), spec.options)):
        logger.warning("%s", note)
    if note := catalogue.explain(spec.backend or ""):
        logger.info("%s", note)
    if note := paste_server.advice(spec.app, spec.folder, paste_server.as_flag):
        logger.warning("%s", note)


_SCALES = {signal.SIGTTIN: 1, signal.SIGTTOU: -1}


class Site:
    """One served application, from start to stop. Event loop only."""

    def __init__(
        self,
        app: App,
        notifier: Notifier,
        summary: Summary | None,
        rereading: Rereading | None,
    ) -> None:
        self._app = app
        app.tell = lambda notice: self._hear(app.spec.name, notice)
        self._notifier = notifier
        self._summary = summary
        self._rereading = rereading
        self._hooks = MasterHooks(app.spec.hooks, app.orders, stderr_writer(), self._fail)
        self.supervisor = Supervisor(self._hear, self._make_pool)
        self.notices = LastNotices()
        self._channel: Channel | None = None
        self.helpers: SiteHelpers | None = None
        self._started = False
        self._failure: str | None = None
        self._before: ServeSpec | None = None  # what a reload that fails goes back to
        self.stopping = Stopping(self.stop, lambda: self._app.spec.drain_delay)
        self.over = asyncio.Event()
        self.supervisor.dispatcher.enter(app.watcher())

    async def run(self) -> int:
        is_asked_for = self._app.spec.control not in ("auto", "off")
        try:
            # What cannot be had ends everything, so before anything starts.
            if is_asked_for:
                self._open_channel()
            if self._app.spec.has_helpers:
                self._open_helpers()
            with program.signals_taken(self._on_signal, self._known), program.watched(self._notifier):
                beginning = self._begin()
                if self.helpers is not None and self._app.spec.has_early_helpers:
                    self.helpers.start(is_early=True)
                if not is_asked_for:  # while the application is imported elsewhere: this takes time, too
                    self._open_channel()
                if self._app.spec.sources.watched:
                    source_files.watch(self._app.spec, self._file_changed)
                await self.over.wait()
                if beginning is not None:
                    beginning.cancel()
                await self._hooks.ending(self._app.spec.graceful_timeout)
        finally:
            if self._channel is not None:
                await self._channel.close()
            if self.helpers is not None:
                self.helpers.close()
        if self._failure is not None:
            message, _, traceback = self._failure.partition("\n")
            raise AppError(message, traceback)
        return 0

    def _begin(self) -> asyncio.Task[None] | None:
        if self._hooks.names:
            return asyncio.create_task(self._begin_after_hooks())
        self._feed(messages.Start())
        return None

    async def _begin_after_hooks(self) -> None:
        try:
            await self._hooks.starting(self._app.spec.workers.least)
        except (HookError, OSError) as error:
            self._failure = str(error)
            self.over.set()
        else:
            if self.stopping.urgency is None:
                self._feed(messages.Start())

    def _fail(self, reason: str) -> None:
        """End, because of what cannot be gone on with."""
        if self._failure is None:
            self._failure = reason
            if self.stopping.urgency is None:
                logger.critical("%s; stopping, as gunicorn does", reason)
                self.stop()

    def _open_channel(self) -> None:
        """Let `bigtop ctl` in. A site serves without, unless a place was named."""
        where = self._app.spec.control
        if where == "off":
            return
        from bigtop.launch.channel import Channel  # of no use to those who want none

        self._channel = Channel(self._as_program())
        try:
            pair = addresses.of(self._app.spec.name) if where == "auto" else addresses.at(where)
            self._channel.open(*pair)
        except BigtopError as error:
            if where != "auto":
                raise
            logger.warning(
                "no control channel: %s (another --name, or --control PATH, gives this site a place; "
                "--control off does without)",
                error,
            )

    def _open_helpers(self) -> None:
        from bigtop.launch.site_helpers import SiteHelpers  # of no use to those who want none

        self.helpers = SiteHelpers(self._app, self._as_program())
        self.helpers.enter()

    def _make_pool(self, spec: WatcherSpec, feed: Callable[[messages.Event], None]) -> ProcessPool:
        if isinstance(spec.target, Worker):
            return self._app.make_pool(feed)
        assert self.helpers is not None, "who enters one has opened them"
        return self.helpers.pool(spec, feed)

    def _as_program(self) -> Single:
        from bigtop.launch.single import Single

        return Single(self, self._app, lambda: self.helpers)

    def _feed(self, event: messages.Event) -> None:
        self.supervisor.dispatcher.feed(self._app.spec.name, event)

    # ---- what is asked of us

    def _on_signal(self, number: int) -> None:
        name = signal.Signals(number).name
        if number in STOPS:
            self._notifier.stopping()
            self.stopping.signalled(number, serves=True, has_begun=self._started)
        elif self.stopping.urgency is not None:
            logger.info("%s ignored: stopping", name)
        elif number == signal.SIGUSR2:
            logger.warning(NO_UPGRADE)
        elif number == signal.SIGUSR1:
            log.reopen()
            self._app.reopen_logs()
            self._hooks.reopen_logs()
            logger.info("logs reopened")
        elif number == signal.SIGHUP:
            logger.info("%s: reloading", name)
            self._notifier.reloading()
            if self._app.certificates.fd is not None:
                self._app.certificates.renew(self._app.pool.hand_out)
            self._reload()
        else:
            wanted = self.supervisor.watchers.machine(self._app.spec.name).numprocesses
            count = max(1, wanted + _SCALES[signal.Signals(number)])
            logger.info("%s: %d worker%s from now on", name, count, "" if count == 1 else "s")
            self._feed(messages.Scale(count))

    def _reload(self) -> None:
        if self._hooks.names or (self._rereading is not None and self._rereading.has_file):
            self.supervisor.dispatcher.later(self._reload_in_order())
        else:
            self._feed(messages.Reload())

    async def _reload_in_order(self) -> None:
        """Read the configuration, where that is a file; have hooks called; load new code."""
        try:
            spec = None if self._rereading is None else await self._rereading.read()
            if spec is not None and self.stopping.urgency is None:
                self._before = self._before or self._app.spec
                change(self._app, self.supervisor, spec)
            await self._hooks.reloading(self._app.spec.hooks)
        except BigtopError as error:
            for line in str(error).split("\n"):
                logger.error("reload: %s; nothing changes", line)
            self._notifier.ready(self._state())
        else:
            if self.stopping.urgency is None:
                self._feed(messages.Reload())

    def stop(self, urgency: messages.Urgency = messages.Urgency.GRACEFUL) -> None:
        self.stopping.begins(urgency)
        self._notifier.stopping()
        # A port that nobody will serve any more refuses at once, so that a balancer can turn elsewhere: all
        # copies of the socket have to go for that, ours, those of fork servers, those of draining workers.
        pool = self._app.pool
        pool.last_drain = pool.last_drain or LastDrain(pool.servers, pool.drain, self._close_listeners)
        if self.supervisor.watchers.machine(self._app.spec.name).status is Status.STOPPED:
            self._app_or_helper_stopped(self._app.spec.name)
        else:
            self._feed(messages.Stop(urgency))
        # After that: a worker that is not born yet, because of a reload, is not wanted any more.
        pool.last_drain.begin()

    def _close_listeners(self) -> None:
        for listener in self._app.listeners:
            listener.close()

    def _file_changed(self, lines: bytes) -> None:
        if self.stopping.urgency is None:
            logger.info("changed: %s; reloading", lines.decode("utf-8", "replace").strip())
            self._feed(messages.Reload())

    # ---- what happens

    def _hear(self, name: str, notice: messages.Notice) -> None:
        if name == self._app.spec.name:
            self._hear_app(name, notice)
        else:
            logger.log(*log_lines.line(name, notice, noun="process"))
        self.notices.hear(name, notice)
        if self._channel is not None:
            self._channel.publish(name, notice)
        is_ending = self.stopping.urgency is not None or self._failure is not None
        if isinstance(notice, messages.Stopped) and is_ending:
            self._app_or_helper_stopped(name)

    def _app_or_helper_stopped(self, name: str) -> None:
        if name != self._app.spec.name:
            if self.supervisor.watchers.machine(self._app.spec.name).status is Status.STOPPED:
                self.over.set()
        elif self.helpers is None or self.helpers.stop(self.stopping.urgency or messages.Urgency.QUICK):
            self.over.set()

    def _hear_app(self, name: str, notice: messages.Notice) -> None:
        words = self._app.pool.last_words.get(notice.wid, ()) if isinstance(notice, messages.Died) else ()
        first_start_failed = isinstance(notice, messages.GaveUp) and not self._started
        if not first_start_failed:  # that one is raised, and told by whoever called us
            logger.log(*log_lines.line(name, notice, words))
        if self._hooks.names:
            self._hooks.hear(notice, self.supervisor.watchers.machine(name).numprocesses)
        match notice:
            case messages.Started() if not self._started:
                self._started = True
                self._tell_summary()
                self._notifier.ready(self._state())
                if self.helpers is not None and self.stopping.urgency is None:
                    self.helpers.start()
            case messages.Reloaded() | messages.ReloadFailed():
                before, self._before = self._before, None
                if before is not None and isinstance(notice, messages.ReloadFailed):
                    # Hooks are those of the file as it is now: it is what their process executes.
                    change(self._app, self.supervisor, replace(before, hooks=self._app.spec.hooks))
                self._notifier.ready(self._state())
            case messages.Report(key) if "worker_abort" in self._app.spec.hooks.names:
                self._app.pool.signal(key, signal.SIGABRT)
            case messages.GaveUp(reason):
                self._failure = reason

    def _state(self) -> str:
        return f"serving {self._app.spec.name} on {', '.join(_addresses(self._app))}"

    def _tell_summary(self) -> None:
        if self._summary is not None:
            self._summary(_facts(self._app))

    def _known(self) -> set[int] | None:
        # A worker may be ours before we were told its pid; until then nobody is a stranger for sure.
        return None if self._app.pool.servers.forking else self.supervisor.watchers.pids() | Process.all_pids


def _facts(app: App) -> SummaryFacts:
    spec, interface = app.spec, app.pool.interface
    backend = _backend(spec.backend, interface)
    return SummaryFacts(spec, interface, backend, app.preload, _addresses(app), os.getpid())


def _addresses(app: App) -> tuple[str, ...]:
    return tuple(listener.address() for listener in app.listeners)


def _backend(asked: str | None, interface: str) -> str:
    """Return the backend's name, and why it is this one where nobody asked for it."""
    if asked:
        return catalogue.canonical(asked)
    return f"{interface}, since the application speaks {interface.upper()}"
