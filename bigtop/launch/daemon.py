# `bigtop run FILE`: everything that a configuration file names, supervised and controlled.
#
# run() reads as a list: bind, describe, start, wait, clean up. Rule: what is decided here is who is given
# what. The file is read anew for reloadconfig; nothing of it is kept but what it came to.

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from bigtop import log
from bigtop.config.file import daemon as config
from bigtop.config.file.apps import AppSpec
from bigtop.config.file.daemon_spec import DaemonSpec, overridden, taken_at_start
from bigtop.errors import BigtopError, CommandError
from bigtop.launch import file_preflight, helper_watchers, plan_words, plugin_preflight, program, saving
from bigtop.launch.app import App
from bigtop.launch.controlled import Steered
from bigtop.launch.critical import Critical
from bigtop.launch.file_channel import FileChannel
from bigtop.launch.file_keeper import FileKeeper
from bigtop.launch.last_notices import LastNotices
from bigtop.launch.leaving import Leaving
from bigtop.launch.listening import Listening
from bigtop.launch.program import NO_UPGRADE, STOPS
from bigtop.launch.stopping import Stopping
from bigtop.log import logger as get_logger
from bigtop.record import replace
from bigtop.stats.pace import Pace
from bigtop.supervisor.policy import log_lines, messages, plan
from bigtop.supervisor.policy.spec import WatcherSpec, Worker
from bigtop.supervisor.policy.watcher import Status
from bigtop.supervisor.processes import scarcity
from bigtop.supervisor.processes.command_pool import CommandPool, PoolServices
from bigtop.supervisor.processes.launcher_client import LauncherClient
from bigtop.supervisor.processes.resolve import sockets_used
from bigtop.supervisor.processes.spawner import Spawner
from bigtop.supervisor.runtime import ProcessPool
from bigtop.supervisor.streams.formats import Chunk
from bigtop.supervisor.streams.writer import Outputs
from bigtop.supervisor.supervisor import Supervisor
from bigtop.system import pidfile, workdir
from bigtop.system.notify import Notifier, Starter

if TYPE_CHECKING:
    from bigtop.launch.statistics import Statistics

logger = get_logger("bigtop.supervisor")


def run(spec: DaemonSpec, starter: Starter | None = None) -> int:
    """Run what `spec` says until told to stop; return the exit status. `starter` None: systemd, or nobody.

    Raises ConfigError and BindError with everything released again. Main thread only.
    """
    name = PurePath(spec.path).stem
    spec = plugin_preflight.checked(spec)
    if spec.loggerconfig is None or spec.loggerconfig.lower() == "default":
        log.configure(spec.loglevel, path=spec.logoutput, time_zone=spec.log_time_zone)
    else:
        log.configure_from(spec.loggerconfig, spec.log_time_zone)
    for warning in (*spec.warnings, *file_preflight.notes(spec)):
        logger.warning("%s", warning)
    if spec.umask is not None:
        os.umask(spec.umask)
    with contextlib.ExitStack() as cleanup:
        cleanup.enter_context(program.signals_held_back())
        cleanup.enter_context(pidfile.held(spec.pidfile))
        listening = Listening()
        cleanup.callback(listening.close)
        listening.become(spec.sockets, spec.apps)
        starter = starter or Notifier(os.environ)
        soft_limit = program.take_charge(f"bigtop: supervisor [{name}]")
        program.check_room()
        cleanup.callback(program.sweep, program.children())
        return asyncio.run(Daemon(spec, listening, LauncherClient(soft_limit), starter).run())


class Daemon:
    """The whole tree, from start to stop. Event loop only."""

    def __init__(
        self, spec: DaemonSpec, listening: Listening, launcher: LauncherClient, starter: Starter
    ) -> None:
        self._starter = starter
        self.spec = spec
        self.listening = listening
        self.apps: dict[str, App] = {}  # those that run
        self._described: dict[str, App] = {}  # by the file; one that changed runs when the old is gone
        self.supervisor = Supervisor(self._publish, self._make_pool, listening.fds)
        self._leaving = Leaving(self.supervisor.watchers, listening, self.apps)
        self.supervisor.scheduler.warmup.delay = spec.warmup_delay
        spawner = Spawner(launcher, self._sockets_for, spec.output_prefix, workdir.current())
        outputs = Outputs(lambda who, why: logger.error("%s: %s", who, why), prefix=spec.output_prefix)
        self._services = PoolServices(spawner, outputs, self.supervisor.hear)
        self.notices = LastNotices()
        self.stopping = Stopping(self.stop, lambda: self.spec.drain_delay)
        self.over = asyncio.Event()
        self._critical = Critical()
        self.channel = FileChannel(_Several(self))
        self.statistics: Statistics | None = None
        self.keeper = FileKeeper(self.apps.values)

    async def run(self) -> int:
        self.channel.open_as(self.spec)
        try:
            if self.spec.stats is not None or self.spec.admin is not None:
                self._open_statistics()
            for watcher in self._watchers(self.spec):
                self.supervisor.dispatcher.enter(watcher)
            with program.signals_taken(self._on_signal, self._known), program.watched(self._starter):
                self._starter.attend(self.stop)
                self.channel.announce("starting")
                self.supervisor.start()
                self.supervisor.dispatcher.later(self._tell_ready())
                self.supervisor.dispatcher.later(self.keeper.begin(Steered(_Several(self))))
                await self.over.wait()
                self.channel.announce("stopped")
        finally:
            await self.channel.close()
            if self.statistics is not None:
                self.statistics.close()
            self.supervisor.close()
            self._services.outputs.end()
            self._services.spawner.launcher.close()
            for app in self.apps.values():
                app.close()
            self.keeper.close()
        return self._critical.status

    def _open_statistics(self) -> None:
        from bigtop.launch import statistics  # of no use to those who want none

        places = self.channel.places
        channel = None if places is None else places.endpoint
        self.statistics = statistics.of_file(self.spec, channel, _Several(self))

    def _sockets_for(self, spec: WatcherSpec, own: Callable[[int], None]) -> Mapping[str, int]:
        private = {} if self.statistics is None else self.statistics.sockets_for(spec)
        return {**self.listening.for_watcher(spec, own), **private, **self.keeper.sockets_for(spec)}

    def _watchers(self, spec: DaemonSpec) -> list[WatcherSpec]:
        """Return all watchers of `spec`; those of applications are made anew if they changed."""
        self.keeper.provide(spec.apps)
        self.channel.plugins.provide(spec.plugins)
        return [*self._plain(spec), *(self._app(app) for app in spec.apps)]

    def _plain(self, spec: DaemonSpec) -> list[WatcherSpec]:
        """Return those that are no applications."""
        helpers = self.channel.tell(helper_watchers.asked_for(spec))
        if self.statistics is not None:  # whether there are any is taken at the start
            helpers.append(self.statistics.watcher(spec.stats or self.spec.stats or Pace()))
        return [*spec.watchers, *helpers, *self.keeper.watchers(spec.apps)]

    def _app(self, spec: AppSpec) -> WatcherSpec:
        listeners = self.listening.of_app(spec)
        shared_seats, routing = self.listening.app_queues.of_app(spec)
        running, described = self.apps.get(spec.name), self._described.get(spec.name)
        if running and running.become(spec.site, listeners, routing):
            app = running
        else:
            app = App(spec.site, listeners, shared_seats, routing, self.keeper.of(spec))
            app.tell = lambda notice: self._publish(spec.name, notice)
            addresses = ", ".join(listener.address() for listener in listeners)
            logger.info("%s: listening on %s", spec.name, addresses)
        if described is not None and described not in (running, app):
            described.close()  # it never got to run
        self._described[spec.name] = app
        app.own_access_log()
        return app.watcher(spec.depends, spec.priority)

    def _make_pool(self, spec: WatcherSpec, feed: Callable[[messages.Event], None]) -> ProcessPool:
        if isinstance(spec.target, Worker):
            before, app = self.apps.get(spec.name), self._described[spec.name]
            if before is not None and before is not app:
                app.retired.go_on_from(before.retired)  # what is counted never goes back
                before.close()
            self.apps[spec.name] = app
            return app.make_pool(feed)
        self._services.outputs.follow(spec.name, self.channel.pass_on)
        return CommandPool(spec, feed, self._services)

    # ---- what is asked of us

    def _on_signal(self, number: int) -> None:
        name = signal.Signals(number).name
        if number in STOPS:
            self._starter.stopping()
            self.stopping.signalled(number, serves=bool(self.apps))
        elif self.stopping.urgency is not None:
            logger.info("%s ignored: stopping", name)
        elif number == signal.SIGUSR2:
            logger.warning(NO_UPGRADE)
        elif number == signal.SIGUSR1:
            self.reopen_logs()
        elif number == signal.SIGHUP:
            logger.info("%s: reloading", name)
            self._starter.reloading()
            for app in self.apps.values():
                if app.certificates.fd is not None:
                    app.certificates.renew(app.pool.hand_out)
            self.supervisor.reload()
            self.supervisor.dispatcher.later(self._tell_ready())
        else:
            logger.info("%s ignored: which watcher? bigtop ctl incr NAME", name)

    def stop(self, urgency: messages.Urgency = messages.Urgency.GRACEFUL) -> None:
        """Stop everything, in order; run() returns when that is done."""
        self.stopping.begins(urgency)
        self._starter.stopping()
        self.channel.announce("stopping")
        self._leaving.begin(self.spec.apps)
        self.supervisor.stop(None, urgency)
        if urgency is messages.Urgency.NOW:
            self.supervisor.watchers.abandon_hooks()
        self.supervisor.dispatcher.later(self._end())

    async def _end(self) -> None:
        await _settled(self.supervisor)
        self.listening.close()  # who hears that we are done may want these addresses
        self.over.set()

    async def _tell_ready(self) -> None:
        """Be ready when everything runs. What does not run and is tried again without limit, or was given up,
        is told instead of waited for: systemd would end all others because of it."""
        names = self.supervisor.watchers.names
        steered = Steered(_Several(self))
        ends = await asyncio.gather(*map(steered.settled, names), return_exceptions=True)
        troubles = []
        for end in ends:
            if isinstance(end, CommandError):
                troubles.append(str(end))
            elif isinstance(end, BaseException):
                raise end
        if self.stopping.urgency is None:
            self._starter.ready("; ".join([f"{len(names)} watchers", *troubles]))

    def reopen_logs(self) -> None:
        log.reopen()
        self._services.outputs.reopen()
        for app in self.apps.values():
            app.reopen_logs()
        logger.info("logs reopened")

    def reload_config(self, *, dry_run: bool) -> Sequence[str]:
        """Become what the file says now; return the steps in words. An error changes nothing."""
        try:
            scarcity.check()
            workdir.enter(self._services.spawner.folder)  # the file may name others from there
            spec = overridden(config.load(self.spec.path), self.spec.flags)
            spec = plugin_preflight.checked(spec, self.spec)
            change = self.listening.change(spec.sockets, spec.apps)
            if dry_run:
                plain = self._plain(spec)
                old = {
                    name: one
                    for name, one in self.supervisor.watchers.specs().items()
                    if name not in self.apps
                }
                steps = plan.plan(old, {one.name: one for one in plain})
                apps = plan_words.of_apps(self.spec.apps, spec.apps, change.moved)
                return [*change.words(), *plan_words.of_steps(steps, _with(plain, change.moved)), *apps]
            with contextlib.ExitStack() as undo:
                undo.callback(self._watchers, self.spec)  # so that applications are described as they were
                with self.listening.changed(change):
                    steps = self.supervisor.configuration.apply(self._watchers(spec))
                    for watcher in _with(self.supervisor.watchers.specs().values(), change.moved):
                        self.supervisor.configuration.remake(watcher.name)
                undo.pop_all()
        except BigtopError as error:
            raise CommandError(str(error)) from error
        except OSError as error:  # too few descriptors
            raise CommandError(str(error.strerror)) from error
        if late := taken_at_start(self.spec, spec):
            logger.warning("%s: what changed there takes a new start of Bigtop", ", ".join(late))
        self.spec = spec
        self.supervisor.scheduler.warmup.delay = spec.warmup_delay
        self.supervisor.dispatcher.later(self.keeper.begin(Steered(_Several(self))))
        for name in self._described.keys() - {app.name for app in spec.apps}:
            del self._described[name]
        return [
            *change.words(),
            *plan_words.of_steps(steps, _with(self.supervisor.watchers.specs().values(), change.moved)),
        ]

    # ---- what happens

    def _publish(self, name: str, notice: messages.Notice) -> None:
        noun = "worker" if name in self.apps else "process"
        logger.log(*log_lines.line(name, notice, self._last_words(name, notice), noun))
        self.channel.publish(name, notice)
        self.notices.hear(name, notice)
        if isinstance(notice, messages.Stopped):
            self.listening.shut(_wanted(self.supervisor), self.spec.apps)
        if isinstance(notice, messages.Removed):
            self._services.outputs.forget(name)
            if name in self.apps and name not in self._described:
                self.apps.pop(name).close()
        if name not in self.supervisor.watchers or self.stopping.urgency is not None:
            return
        if self._critical.is_over(name, self.supervisor.watchers.machine(name).spec.lifetime, notice):
            status = self._critical.status
            logger.critical("%s is critical and has ended: everything stops, with status %d", name, status)
            self.stop()

    def _last_words(self, name: str, notice: messages.Notice) -> Sequence[str]:
        if not isinstance(notice, messages.Died) or name not in self.supervisor.watchers:
            return ()
        return self.supervisor.watchers.runtime(name).pool.last_words.get(notice.wid, ())

    def tail(self, name: str, lines: int) -> list[Chunk]:
        pids = [proc.pid for proc in self.supervisor.watchers.machine(name).processes.values() if proc.pid]
        return self._services.outputs.tail(pids, lines)

    def _known(self) -> set[int] | None:
        # A child may be ours before we were told its pid; until then nobody is a stranger for sure.
        launcher = self._services.spawner.launcher
        forking = any(app.pool.servers.forking for app in self.apps.values())
        if forking or launcher.launching:
            return None
        return self.supervisor.watchers.pids() | launcher.pids


class _Several:
    """Everything that a file names, as the control channel sees it."""

    has_file = True

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.supervisor = supervisor = daemon.supervisor
        self.notices, self.over, self.stop = daemon.notices, daemon.over, daemon.stop
        self.stopping = daemon.stopping
        configuration = supervisor.configuration
        self.add, self.update, self.remove = configuration.add, configuration.update, configuration.remove
        self.apps, self.named_sockets = daemon.apps, daemon.listening.named
        self.reload_config, self.tail = daemon.reload_config, daemon.tail

    def save(self, *, dry_run: bool) -> str:
        running = {
            name: spec
            if spec.scaling is not None  # the load decides on the number, between those
            else replace(spec, numprocesses=self.supervisor.watchers.machine(name).numprocesses)
            for name, spec in self.supervisor.configuration.specs().items()
            if not spec.hidden
        }
        plugins = self._daemon.spec.plugin_watchers
        for plugin, told in zip(plugins, self._daemon.channel.tell(plugins), strict=True):
            if told.name in running and running[told.name].target == told.target:  # as in the file
                running[told.name] = replace(running[told.name], target=plugin.target)
        after, difference = saving.save(self._daemon.spec, running, dry_run=dry_run)
        if not dry_run:
            self._daemon.spec = overridden(after, self._daemon.spec.flags)
        return difference

    def look_for_certificates(self) -> None:
        self._daemon.keeper.look()

    def dropped(self) -> Mapping[str, int]:
        return self._daemon._services.outputs.dropped

    @property
    def figures_at(self) -> str | None:
        statistics = self._daemon.statistics
        return None if statistics is None else statistics.endpoint

    def options(self) -> Mapping[str, object]:
        spec = self._daemon.spec
        return {
            "stats_endpoint": self.figures_at or spec.stats_endpoint,
            "check_delay": spec.check_delay,
            "multicast_endpoint": spec.multicast_endpoint,
        }


def _wanted(supervisor: Supervisor) -> list[WatcherSpec]:
    """Return those that run, or will, be it on demand."""
    return [
        spec
        for name, spec in supervisor.watchers.specs().items()
        if supervisor.watchers.machine(name).status is not Status.STOPPED
        or name in supervisor.scheduler.coming
        or supervisor.scheduler.triggers.armed(name)
    ]


async def _settled(supervisor: Supervisor) -> None:
    left = [runtime.machine.spec.name for runtime in supervisor.watchers.abandoned]
    for name in (*supervisor.watchers.names, *left):
        await supervisor.settled(name)


def _with(specs: Iterable[WatcherSpec], sockets: Collection[str]) -> list[WatcherSpec]:
    """Return those whose commands are given one of `sockets`."""
    return [spec for spec in specs if sockets_used(spec, sockets)]
