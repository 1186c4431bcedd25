# `bigtop run FILE`: everything that a configuration file names, supervised and controlled.
#
# run() reads as a list: bind, describe, start, wait, clean up. Rule: what is decided here is who is given
# what. The file is read anew for reloadconfig; nothing of it is kept but what it came to.

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from bigtop import log
from bigtop.config.file import daemon as config
from bigtop.config.file.daemon_spec import DaemonSpec, overridden, taken_at_start
from bigtop.errors import BigtopError, CommandError
from bigtop.launch import program
from bigtop.launch.control.controlled import Steered
from bigtop.launch.control.last_notices import LastNotices
from bigtop.launch.program import STOPS
from bigtop.launch.run import file_preflight, helper_watchers, plan_words, plugin_preflight
from bigtop.launch.run.critical import Critical
from bigtop.launch.run.file_apps import FileApps
from bigtop.launch.run.file_channel import FileChannel
from bigtop.launch.run.file_keeper import FileKeeper
from bigtop.launch.run.leaving import Leaving
from bigtop.launch.run.listening import Listening
from bigtop.launch.run.several import Several
from bigtop.launch.stopping import Stopping
from bigtop.launch.upgrading import fd_store, snapshots, upgrade
from bigtop.launch.upgrading.standing import Standing
from bigtop.launch.upgrading.upgrade import Upgrade
from bigtop.log import logger as get_logger
from bigtop.record import Record
from bigtop.stats.pace import Pace
from bigtop.supervisor import snapshots as supervisor_snapshots
from bigtop.supervisor.policy import log_lines, messages, plan
from bigtop.supervisor.policy.spec import WatcherSpec, Worker
from bigtop.supervisor.processes import scarcity
from bigtop.supervisor.processes.commands.command_pool import CommandPool, PoolServices
from bigtop.supervisor.processes.commands.launcher_client import LauncherClient
from bigtop.supervisor.processes.commands.resolve import users_of
from bigtop.supervisor.processes.commands.spawner import Spawner
from bigtop.supervisor.runtime import ProcessPool
from bigtop.supervisor.streams.formats import Chunk
from bigtop.supervisor.streams.writer import Outputs
from bigtop.supervisor.supervisor import Supervisor
from bigtop.system.files import workdir
from bigtop.system.notify import Notifier, Starter

if TYPE_CHECKING:
    from bigtop.launch.statistics import Statistics
    from bigtop.launch.upgrading.snapshots import DaemonState

logger = get_logger("bigtop.supervisor")


def run(spec: DaemonSpec, starter: Starter | None = None) -> int:
    """Run what `spec` says until told to stop; return the exit status. `starter` None: systemd, or nobody.

    Raises ConfigError and BindError with everything released again. Main thread only.
    """
    standing = _standing(spec)
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
    with contextlib.ExitStack() as cleanup, standing.guarded():
        state: DaemonState | None = standing.state
        cleanup.enter_context(program.signals_held_back())
        cleanup.enter_context(standing.named(spec.pidfile))
        starter = starter or Notifier(os.environ)
        standing.store = fd_store.of(starter, standing.stored)
        listening = Listening(standing.store)
        cleanup.callback(listening.close)
        if state is not None:
            snapshots.listen_on(listening, state)
        else:
            _find_again(spec, standing, listening)
        listening.become(spec.sockets, spec.apps)
        soft_limit = program.take_charge(f"bigtop: supervisor [{name}]")
        program.check_room()
        if state is None:
            standing.others = program.children()
        cleanup.callback(program.sweep, standing.others)
        launcher = LauncherClient(soft_limit if state is None else state.soft_limit)
        return asyncio.run(Daemon(spec, listening, launcher, starter, standing).run())


def _find_again(spec: DaemonSpec, standing: Standing, listening: Listening) -> None:
    """Go on with what the service manager kept of a supervisor that was killed, if anything."""
    was_kept = bool(standing.store.names)
    lost = listening.resume_kept(os.environ, spec.sockets, spec.apps)
    if was_kept:
        from bigtop.launch.upgrading.leftovers import Leftovers  # of no use to all others

        theirs = {watcher.name for watcher in spec.watchers}
        kept = fd_store.commands(os.environ)
        standing.left = Leftovers(kept, standing.store.drop, lost, theirs)


def _standing(spec: DaemonSpec) -> Standing:
    """Return how this process stands; a probe ends here."""
    if upgrade.VARIABLE not in os.environ:
        return Standing(upgrade.origin())
    from bigtop.launch.upgrading import takeover  # of no use to all others

    return takeover.of_daemon(spec)


class Daemon:
    """The whole tree, from start to stop. Event loop only."""

    def __init__(
        self,
        spec: DaemonSpec,
        listening: Listening,
        launcher: LauncherClient,
        starter: Starter,
        standing: Standing,
    ) -> None:
        self._starter = starter
        self.spec = spec
        self.listening = listening
        self._apps = FileApps(listening, self._publish, standing.state and standing.state.apps)
        self.apps = self._apps.running
        self.supervisor = Supervisor(self._publish, self._make_pool, listening.fds)
        self._leaving = Leaving(self.supervisor.watchers, listening, self.apps)
        self.supervisor.scheduler.warmup.delay = spec.warmup_delay
        spawner = Spawner(launcher, self._sockets_for, spec.output_prefix, workdir.current())
        self.outputs = Outputs(lambda who, why: logger.error("%s: %s", who, why), prefix=spec.output_prefix)
        self._services = PoolServices(spawner, self.outputs, self.supervisor.hear, standing.store.commands)
        self.notices = LastNotices()
        self.stopping = Stopping(self.stop, lambda: self.spec.drain_delay)
        self.over = asyncio.Event()
        self._critical = Critical()
        self.keeper = FileKeeper(self.apps.values, standing.state and standing.state.keeper)
        self.statistics: Statistics | None = None
        self._standing = standing
        self.upgrade = Upgrade(standing.started, self._held, standing.attempts)
        self.program = Several(self)
        self.channel = FileChannel(self.program, *snapshots.places(standing.state))

    async def run(self) -> int:
        try:
            with self._standing.guarded():
                self._open()
            with program.signals_taken(self._on_signal, self._known), program.watched(self._starter):
                self._starter.attend(self.stop)
                if self._standing.state is None:
                    self.channel.announce("starting")
                    self._standing.start(self.supervisor)
                else:
                    supervisor_snapshots.go_on(self.supervisor, self._standing.state.supervisor)
                self.supervisor.dispatcher.later(self._tell_ready())
                self.supervisor.dispatcher.later(self.keeper.begin(Steered(self.program)))
                await self.over.wait()
                self.channel.announce("stopped")
        finally:
            await self.channel.close()
            if self.statistics is not None:
                self.statistics.close()
            self.supervisor.close()
            self.outputs.end()
            self._services.spawner.launcher.close()
            self._apps.close()
            self.keeper.close()
        return self._critical.status

    def _open(self) -> None:
        """Take in what there is to be, or what another version has started."""
        self.channel.open_as(self.spec)
        state: DaemonState | None = self._standing.state
        self._open_statistics(state)
        if state is None:
            self._standing.enter(self.supervisor, self._watchers(self.spec))
            return
        self.keeper.provide(self.spec.apps)
        self.channel.plugins.provide(self.spec.plugins)
        apps = {app.name: app for app in self.spec.apps}
        # Helpers are those of this version; what was changed in others since the file was read stays changed.
        helpers = {one.name: one for one in self._plain(self.spec) if one not in self.spec.watchers}
        for name, spec in supervisor_snapshots.described(self.supervisor, state.supervisor):
            if spec is None:
                watcher = self._apps.describe(apps[name], self.keeper)
            else:
                watcher = helpers.get(name, spec)
            self.supervisor.dispatcher.enter(watcher)
        self.outputs.resume(state.tails)
        self._services.spawner.launcher.resume(state.launcher)
        supervisor_snapshots.resume(self.supervisor, state.supervisor)
        self._standing.done()
        plan_words.tell_waiting(self.spec.path, self.supervisor.watchers.specs(), self._plain(self.spec))
        self.channel.await_followers()

    def _held(self) -> Record | str:
        return snapshots.of_daemon(self.program, self._standing, self._services)

    def _open_statistics(self, state: DaemonState | None) -> None:
        is_asked_for = self.spec.stats is not None or self.spec.admin is not None
        if is_asked_for or (state is not None and state.statistics is not None):
            from bigtop.launch import statistics  # of no use to those who want none

            self.statistics = statistics.of_file(self.spec, self.channel.endpoint, self.program, state)

    def _sockets_for(self, spec: WatcherSpec, own: Callable[[int], None]) -> Mapping[str, int]:
        private = {} if self.statistics is None else self.statistics.sockets_for(spec)
        return {**self.listening.for_watcher(spec, own), **private, **self.keeper.sockets_for(spec)}

    def _watchers(self, spec: DaemonSpec) -> list[WatcherSpec]:
        """Return all watchers of `spec`; those of applications are made anew if they changed."""
        self.keeper.provide(spec.apps)
        self.channel.plugins.provide(spec.plugins)
        return [*self._plain(spec), *(self._apps.describe(app, self.keeper) for app in spec.apps)]

    def _plain(self, spec: DaemonSpec) -> list[WatcherSpec]:
        """Return those that are no applications."""
        helpers = self.channel.tell(helper_watchers.asked_for(spec))
        if self.statistics is not None:  # whether there are any is taken at the start
            helpers.append(self.statistics.watcher(spec.stats or self.spec.stats or Pace()))
        return [*spec.watchers, *helpers, *self.keeper.watchers(spec.apps)]

    def _make_pool(self, spec: WatcherSpec, feed: Callable[[messages.Event], None]) -> ProcessPool:
        if isinstance(spec.target, Worker):
            return self._apps.begin(spec.name).make_pool(feed)
        self.outputs.follow(spec.name, self.channel.pass_on)
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
            upgrade.at_signal(self.upgrade)
        elif number == signal.SIGUSR1:
            self.reopen_logs()
        elif number == signal.SIGHUP:
            logger.info("%s: reloading", name)
            self._starter.reloading()
            self._apps.renew()
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
        await self.supervisor.all_settled()
        self.listening.close()  # who hears that we are done may want these addresses
        self.over.set()

    async def _tell_ready(self) -> None:
        """Be ready when everything runs. What does not run and is tried again without limit, or was given up,
        is told instead of waited for: systemd would end all others because of it."""
        names = self.supervisor.watchers.names
        steered = Steered(self.program)
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
        self.outputs.reopen()
        self._apps.reopen_logs()
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
                return [*change.words(), *plan_words.of_steps(steps, users_of(plain, change.moved)), *apps]
            with contextlib.ExitStack() as undo:
                undo.callback(self._watchers, self.spec)  # so that applications are described as they were
                with self.listening.changed(change):
                    steps = self.supervisor.configuration.apply(self._watchers(spec))
                    for watcher in users_of(self.supervisor.watchers.specs().values(), change.moved):
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
        self.supervisor.dispatcher.later(self.keeper.begin(Steered(self.program)))
        self._apps.keep(app.name for app in spec.apps)
        return [
            *change.words(),
            *plan_words.of_steps(steps, users_of(self.supervisor.watchers.specs().values(), change.moved)),
        ]

    # ---- what happens

    def _publish(self, name: str, notice: messages.Notice) -> None:
        noun = "worker" if name in self.apps else "process"
        logger.log(*log_lines.line(name, notice, self._last_words(name, notice), noun))
        self.channel.publish(name, notice)
        self.notices.hear(name, notice)
        if isinstance(notice, messages.Stopped):
            self.listening.shut(self.supervisor.wanted(), self.spec.apps)
        if isinstance(notice, messages.Removed):
            self.outputs.forget(name)
            self._apps.removed(name)
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
        return self.outputs.tail(pids, lines)

    def _known(self) -> set[int] | None:
        # A child may be ours before we were told its pid; until then nobody is a stranger for sure.
        launcher = self._services.spawner.launcher
        is_sure = not (self._apps.forking or launcher.launching)
        return self.supervisor.watchers.pids() | launcher.pids if is_sure else None
