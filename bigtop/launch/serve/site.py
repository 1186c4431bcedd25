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

from bigtop import log
from bigtop.config.serve.serve import ServeSpec
from bigtop.errors import AppError
from bigtop.launch import program
from bigtop.launch.app import App, stderr_writer
from bigtop.launch.control.last_notices import LastNotices
from bigtop.launch.program import STOPS
from bigtop.launch.serve import site_setup, source_files
from bigtop.launch.serve.master_hooks import HookError, MasterHooks
from bigtop.launch.serve.rereading import Rereading
from bigtop.launch.serve.site_reload import SiteReload
from bigtop.launch.serve.summary_facts import Summary, bound, facts
from bigtop.launch.stopping import Stopping
from bigtop.launch.upgrading import fd_store, snapshots, upgrade
from bigtop.launch.upgrading.standing import Standing
from bigtop.launch.upgrading.upgrade import Upgrade
from bigtop.log import logger as get_logger
from bigtop.record import Record
from bigtop.supervisor import snapshots as supervisor_snapshots
from bigtop.supervisor.policy import log_lines, messages
from bigtop.supervisor.policy.spec import WatcherSpec, Worker
from bigtop.supervisor.policy.watcher import Status
from bigtop.supervisor.processes.child import Process
from bigtop.supervisor.processes.workers.forkserver import Started
from bigtop.supervisor.processes.workers.last_drain import LastDrain
from bigtop.supervisor.runtime import ProcessPool
from bigtop.supervisor.streams.reader import LineReader
from bigtop.supervisor.supervisor import Supervisor
from bigtop.system.notify import Notifier

if TYPE_CHECKING:
    from bigtop.launch.control.channel import Channel
    from bigtop.launch.serve.single import Single
    from bigtop.launch.serve.site_helpers import SiteHelpers
    from bigtop.launch.upgrading.snapshots import SiteState

logger = get_logger("bigtop.supervisor")


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
    standing = site_setup.standing(spec)
    log.configure(
        spec.logs.level, json=spec.logs.json, path=spec.error_logfile, time_zone=spec.logs.time_zone
    )
    if rereading is not None and rereading.has_file:
        logger.info("settings are those of %s", rereading.label)
    site_setup.tell_notes(spec)
    with contextlib.ExitStack() as cleanup, standing.guarded():
        state: SiteState | None = standing.state
        cleanup.enter_context(program.signals_held_back())
        cleanup.enter_context(standing.named(spec.pidfile))
        notifier = Notifier(os.environ)
        standing.store = fd_store.of(notifier, standing.stored)
        cleanup.callback(standing.store.forget)
        listeners = site_setup.listeners(spec, state)
        for listener in listeners:
            cleanup.callback(listener.close)
        site_setup.keep(standing.store, spec, listeners)
        program.take_charge(f"bigtop: supervisor [{spec.name}]")
        keeper = cleanup.enter_context(site_setup.kept(spec, state))
        app = App(spec, listeners, keeper=keeper, resumed=None if state is None else state.app)
        cleanup.callback(app.close)
        program.check_room()
        app.own_access_log()
        logger.info("listening on %s", ", ".join(listener.address() for listener in listeners))
        if state is None:
            standing.others = program.children()
        site = Site(app, notifier, summary, rereading, standing)
        if early is not None:
            standing.others.discard(early.pid)
            app.take(early)
        cleanup.callback(program.sweep, standing.others)
        return asyncio.run(site.run())


_SCALES = {signal.SIGTTIN: 1, signal.SIGTTOU: -1}


class Site:
    """One served application, from start to stop. Event loop only."""

    def __init__(
        self,
        app: App,
        notifier: Notifier,
        summary: Summary | None,
        rereading: Rereading | None,
        standing: Standing,
    ) -> None:
        self._app = app
        app.tell = lambda notice: self._hear(app.spec.name, notice)
        self._notifier = notifier
        self._summary = summary
        self._hooks = MasterHooks(app.spec.hooks, app.orders, stderr_writer(), self._fail)
        self.supervisor = Supervisor(self._hear, self._make_pool)
        self.notices = LastNotices()
        self._channel: Channel | None = None
        self.helpers: SiteHelpers | None = None
        self._started = False
        self._sources: LineReader | None = None
        self._standing = standing
        self.upgrade = Upgrade(standing.started, self._held, standing.attempts)
        self._failure: str | None = None
        self.stopping = Stopping(self.stop, lambda: self._app.spec.drain_delay)
        self.over = asyncio.Event()
        if standing.taken is not None:
            self.supervisor.dispatcher.begin_keys(standing.state.supervisor.next_key)
        self._reload = SiteReload(
            app, self.supervisor, self._hooks, rereading, self.stopping, self._tell_ready
        )
        self.supervisor.dispatcher.enter(app.watcher())

    async def run(self) -> int:
        is_asked_for = self._app.spec.control not in ("auto", "off")
        try:
            if self._standing.taken is not None:
                self._resume(self._standing.state)
            # What cannot be had ends everything, so before anything starts.
            elif is_asked_for:
                self._open_channel()
            if self._app.spec.has_helpers and self._standing.taken is None:
                self._open_helpers()
            with program.signals_taken(self._on_signal, self._known), program.watched(self._notifier):
                beginning = self._begin()
                if self.helpers is not None and self._app.spec.has_early_helpers:
                    self.helpers.start(is_early=True)
                if (
                    not is_asked_for and self._channel is None
                ):  # while the application is imported elsewhere: this takes time, too
                    self._open_channel()
                if self._app.spec.sources.watched:
                    state = self._standing.state
                    self._sources = source_files.watch(
                        self._app.spec, self._file_changed, state and state.sources
                    )
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

    # ---- another version goes on, or this one goes on for another

    def _held(self) -> Record | str:
        if not self._started or self.stopping.urgency is not None:
            return "it has not started" if not self._started else "it stops"
        if self.supervisor.dispatcher.works or self._hooks.is_calling:
            return "a reload is under way"
        parts = self._channel, self.helpers, self._sources
        return snapshots.of_site(self._app, self.supervisor, self._standing, *parts)

    def _resume(self, state: SiteState) -> None:
        with self._standing.guarded():
            self._open_channel()
            if self._app.spec.has_helpers or state.statistics is not None:
                self._open_helpers()
            supervisor_snapshots.resume(self.supervisor, state.supervisor)
            self._standing.done()
        self._started = True
        machine = self.supervisor.watchers.machine(self._app.spec.name)
        self._hooks.resume(machine.numprocesses, machine.processes.values())
        supervisor_snapshots.go_on(self.supervisor, state.supervisor)
        site_setup.take_workers(self._feed, self._app.spec, state)
        self._tell_ready()

    def _begin(self) -> asyncio.Task[None] | None:
        if self._standing.taken is not None:
            return None
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
        before = self._standing.state and self._standing.state.channel
        self._channel = site_setup.channel(self._as_program(), self._app.spec, before)

    def _open_helpers(self) -> None:
        from bigtop.launch.serve.site_helpers import SiteHelpers  # of no use to those who want none

        self.helpers = SiteHelpers(self._app, self._as_program(), self._standing.state)
        self.helpers.enter()

    def _make_pool(self, spec: WatcherSpec, feed: Callable[[messages.Event], None]) -> ProcessPool:
        if isinstance(spec.target, Worker):
            return self._app.make_pool(feed)
        assert self.helpers is not None, "who enters one has opened them"
        return self.helpers.pool(spec, feed)

    def _as_program(self) -> Single:
        from bigtop.launch.serve.single import Single

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
            upgrade.at_signal(self.upgrade)
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
            self._reload.begin()
        else:
            wanted = self.supervisor.watchers.machine(self._app.spec.name).numprocesses
            count = max(1, wanted + _SCALES[signal.Signals(number)])
            logger.info("%s: %d worker%s from now on", name, count, "" if count == 1 else "s")
            self._feed(messages.Scale(count))

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
        self._standing.store.forget()
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
                if self._summary is not None:
                    self._summary(facts(self._app))
                self._tell_ready()
                if self.helpers is not None and self.stopping.urgency is None:
                    self.helpers.start()
            case messages.Reloaded() | messages.ReloadFailed():
                self._reload.over(notice)
                self._tell_ready()
            case messages.Report(key) if "worker_abort" in self._app.spec.hooks.names:
                self._app.pool.signal(key, signal.SIGABRT)
            case messages.GaveUp(reason):
                self._failure = reason

    def _tell_ready(self) -> None:
        self._notifier.ready(self._state())

    def _state(self) -> str:
        return f"serving {self._app.spec.name} on {', '.join(bound(self._app))}"

    def _known(self) -> set[int] | None:
        # A worker may be ours before we were told its pid; until then nobody is a stranger for sure.
        return None if self._app.pool.servers.forking else self.supervisor.watchers.pids() | Process.all_pids
