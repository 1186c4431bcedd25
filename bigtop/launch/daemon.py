# `bigtop run FILE`: everything that a configuration file names, supervised and controlled.
#
# run() reads as a list: bind, describe, start, wait, clean up. Rule: what is decided here is who is given
# what. The file is read anew for reloadconfig; nothing of it is kept but what it came to.

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath

from bigtop import log, pidfile
from bigtop.config import daemon as config
from bigtop.config.apps import AppSpec
from bigtop.config.daemon import DaemonSpec
from bigtop.config.plugins import told as told_place
from bigtop.control import addresses
from bigtop.control.discovery import Discovery
from bigtop.control.server import ControlServer
from bigtop.errors import BigtopError, CommandError
from bigtop.launch import checks, program, saving
from bigtop.launch.app import App
from bigtop.launch.controlled import Controlled, Steered, as_facts
from bigtop.launch.listening import Listening
from bigtop.launch.news import News
from bigtop.launch.program import NO_UPGRADE, STOPS, Stopping
from bigtop.notify import Notifier, Starter
from bigtop.supervisor import journal, messages, plan
from bigtop.supervisor.birth import Maker
from bigtop.supervisor.commands import CommandPool, Surroundings
from bigtop.supervisor.core import Supervisor
from bigtop.supervisor.entry import Spawner
from bigtop.supervisor.launching import Launcher
from bigtop.supervisor.machine import Status
from bigtop.supervisor.preparation import sockets_used
from bigtop.supervisor.spec import WatcherSpec, Worker
from bigtop.supervisor.streams.formats import Chunk
from bigtop.supervisor.streams.writer import Outputs

logger = logging.getLogger("bigtop.supervisor")


def run(spec: DaemonSpec, starter: Starter | None = None) -> int:
    """Run what `spec` says until told to stop; return the exit status. `starter` None: systemd, or nobody.

    Raises ConfigError and BindError with everything released again. Main thread only.
    """
    name = PurePath(spec.path).stem
    checks.check(spec)
    if spec.loggerconfig is None or spec.loggerconfig.lower() == "default":
        log.configure(spec.loglevel, path=spec.logoutput)
    else:
        log.configure_from(spec.loggerconfig)
    for warning in spec.warnings:
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
        cleanup.callback(program.sweep, program.children())
        return asyncio.run(Daemon(spec, listening, Launcher(soft_limit), starter).run())


class Daemon:
    """The whole tree, from start to stop. Event loop only."""

    def __init__(self, spec: DaemonSpec, listening: Listening, launcher: Launcher, starter: Starter) -> None:
        self._starter = starter
        self.spec = spec
        self.listening = listening
        self.apps: dict[str, App] = {}  # those that run
        self._described: dict[
            str, App
        ] = {}  # as the file has them; one that changed runs when the old is gone
        self.supervisor = Supervisor(self._publish, self._make_spawner, listening.fds)
        self.supervisor.warmup.delay = spec.warmup_delay
        maker = Maker(launcher, listening.for_watcher)
        outputs = Outputs(lambda watcher, trouble: logger.error("%s: %s", watcher, trouble))
        self._surroundings = Surroundings(maker, outputs, self.supervisor.hear)
        self.news = News()
        self._stopping = Stopping()
        self.over = asyncio.Event()
        self._status = 0

    async def run(self) -> int:
        endpoint, pubsub = addresses.of(PurePath(self.spec.path).stem)
        access = checks.access(self.spec)
        control = Controlled(_Several(self))
        self.server = control.open(
            self.spec.endpoint or endpoint, self.spec.pubsub_endpoint or pubsub, access
        )
        logger.info("control channel on %s", self.server.endpoint)
        discovery = _discovery(self.spec, self.server.endpoint)
        try:
            for watcher in self._watchers(self.spec):
                self.supervisor.enter(watcher)
            with program.signals_taken(self._on_signal, self._known), program.watched(self._starter):
                self._starter.attend(self.stop)
                self.server.publisher.announce("starting")
                self.supervisor.start()
                self.supervisor.later(self._tell_ready())
                await self.over.wait()
                self.server.publisher.announce("stopped")
        finally:
            control.figures.close()
            if discovery is not None:
                discovery.close()
            await self.server.close()
            self.supervisor.close()
            self._surroundings.outputs.end()
            for app in self.apps.values():
                app.close()
        return self._status

    def _watchers(self, spec: DaemonSpec) -> list[WatcherSpec]:
        """Return all watchers of `spec`; those of applications are made anew if they changed."""
        served = [self._app(app) for app in spec.apps]
        return [*spec.watchers, *_plugins(spec, self.server), *served]

    def _app(self, spec: AppSpec) -> WatcherSpec:
        listeners = self.listening.of_app(spec)
        board, routing = self.listening.passages.of_app(spec)
        running, described = self.apps.get(spec.name), self._described.get(spec.name)
        if running and running.become(spec.site, listeners, routing):
            app = running
        else:
            app = App(spec.site, listeners, board, routing)
        if described is not None and described not in (running, app):
            described.close()  # it never got to run
        self._described[spec.name] = app
        app.own_access_log()
        return app.watcher(spec.depends, spec.priority)

    def _make_spawner(self, spec: WatcherSpec, feed: Callable[[messages.Event], None]) -> Spawner:
        if isinstance(spec.target, Worker):
            before, app = self.apps.get(spec.name), self._described[spec.name]
            if before is not None and before is not app:
                before.close()
            self.apps[spec.name] = app
            return app.make_pool(feed)
        self._surroundings.outputs.follow(spec.name, self._pass_on)
        return CommandPool(spec, feed, self._surroundings)

    def _pass_on(self, chunk: Chunk) -> None:
        """Publish output for those who follow it; costs nothing while nobody does."""
        if self.server.publisher.wants_output(chunk.watcher):
            for line in chunk.split():
                self.server.publisher.output(chunk.watcher, as_facts(chunk, line))

    # ---- what is asked of us

    def _on_signal(self, number: int) -> None:
        name = signal.Signals(number).name
        if number in STOPS:
            urgency = self._stopping.asked(number)
            if urgency is not None:
                self.stop(urgency)
        elif self._stopping.urgency is not None:
            logger.info("%s ignored: stopping", name)
        elif number == signal.SIGUSR2:
            logger.warning(NO_UPGRADE)
        elif number == signal.SIGUSR1:
            self.reopen_logs()
        elif number == signal.SIGHUP:
            logger.info("%s: reloading", name)
            self._starter.reloading()
            self.supervisor.reload()
            self.supervisor.later(self._tell_ready())
        else:
            logger.info("%s ignored: which watcher? bigtop ctl incr NAME", name)

    def stop(self, urgency: messages.Urgency = messages.Urgency.GRACEFUL) -> None:
        """Stop everything, in order; run() returns when that is done."""
        if self._stopping.urgency is None:
            self._stopping.urgency = urgency
        self._starter.stopping()
        self.server.publisher.announce("stopping")
        self.supervisor.stop(None, urgency)
        self.supervisor.later(self._end())

    async def _end(self) -> None:
        await _settled(self.supervisor)
        self.listening.close()  # who hears that we are done may want these addresses
        self.over.set()

    async def _tell_ready(self) -> None:
        """Be ready when everything runs. What does not run and is tried again without limit, or was given up,
        is told instead of waited for: systemd would end all others because of it."""
        names = self.supervisor.names
        steered = Steered(_Several(self))
        ends = await asyncio.gather(*map(steered.settled, names), return_exceptions=True)
        troubles = []
        for end in ends:
            if isinstance(end, CommandError):
                troubles.append(str(end))
            elif isinstance(end, BaseException):
                raise end
        if self._stopping.urgency is None:
            self._starter.ready("; ".join([f"{len(names)} watchers", *troubles]))

    def reopen_logs(self) -> None:
        log.reopen()
        self._surroundings.outputs.reopen()
        for app in self.apps.values():
            app.reopen_logs()
        logger.info("logs reopened")

    def reload_config(self, *, dry_run: bool) -> Sequence[str]:
        """Become what the file says now; return the steps in words. An error changes nothing."""
        try:
            spec = config.load(self.spec.path)
            checks.check_apps(spec.path, spec.apps)
            change = self.listening.change(spec.sockets, spec.apps)
            if dry_run:
                plain = [*spec.watchers, *_plugins(spec, self.server)]
                old = {name: one for name, one in self.supervisor.specs().items() if name not in self.apps}
                steps = plan.plan(old, {one.name: one for one in plain})
                apps = _app_words(self.spec.apps, spec.apps, change.moved)
                return [*change.words(), *_words(steps, _with(plain, change.moved)), *apps]
            with contextlib.ExitStack() as undo:
                undo.callback(self._watchers, self.spec)  # so that applications are described as they were
                with self.listening.changed(change):
                    steps = self.supervisor.apply(self._watchers(spec))
                    for watcher in _with(self.supervisor.specs().values(), change.moved):
                        self.supervisor.remake(watcher.name)
                undo.pop_all()
        except BigtopError as error:
            raise CommandError(str(error)) from error
        if late := config.taken_at_start(self.spec, spec):
            logger.warning("%s: what changed there takes a new start of Bigtop", ", ".join(late))
        self.spec = spec
        self.supervisor.warmup.delay = spec.warmup_delay
        for name in self._described.keys() - {app.name for app in spec.apps}:
            del self._described[name]
        return [*change.words(), *_words(steps, _with(self.supervisor.specs().values(), change.moved))]

    # ---- what happens

    def _publish(self, name: str, notice: messages.Notice) -> None:
        logger.log(*journal.line(name, notice, self._last_words(name, notice)))
        self.server.publish(name, notice)
        self.news.hear(name, notice)
        if isinstance(notice, messages.Stopped):
            self.listening.shut(_wanted(self.supervisor), self.spec.apps)
        if isinstance(notice, messages.Removed):
            self._surroundings.outputs.forget(name)
            if name in self.apps and name not in self._described:
                self.apps.pop(name).close()
        if (
            isinstance(notice, messages.GaveUp)
            and self._stopping.urgency is None
            and self.supervisor.watcher(name).spec.lifetime.critical
        ):
            logger.critical("%s is critical: everything stops", name)
            self._status = 1
            self.stop()

    def _last_words(self, name: str, notice: messages.Notice) -> Sequence[str]:
        if not isinstance(notice, messages.Died) or name not in self.supervisor.entries:
            return ()
        return self.supervisor.entry(name).spawner.last_words.get(notice.wid, ())

    def tail(self, name: str, lines: int) -> list[Chunk]:
        pids = [proc.pid for proc in self.supervisor.watcher(name).processes.values() if proc.pid]
        return self._surroundings.outputs.tail(pids, lines)

    def _known(self) -> set[int] | None:
        # A child may be ours before we were told its pid; until then nobody is a stranger for sure.
        launcher = self._surroundings.maker.launcher
        forking = any(app.pool.servers.forking for app in self.apps.values())
        if forking or launcher.launching:
            return None
        return self.supervisor.pids() | launcher.pids


class _Several:
    """Everything that a file names, as the control channel sees it."""

    has_file = True

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.supervisor = supervisor = daemon.supervisor
        self.news, self.over, self.stop = daemon.news, daemon.over, daemon.stop
        self.add, self.update, self.remove = supervisor.add, supervisor.update, supervisor.remove
        self.apps, self.named_sockets = daemon.apps, daemon.listening.named
        self.reload_config, self.tail = daemon.reload_config, daemon.tail

    def save(self, *, dry_run: bool) -> str:
        running = {
            name: replace(spec, numprocesses=self.supervisor.watcher(name).numprocesses)
            for name, spec in self.supervisor.specs().items()
            if name not in self.supervisor.removing
        }
        for plugin, told in zip(
            self._daemon.spec.plugins, _plugins(self._daemon.spec, self._daemon.server), strict=True
        ):
            if told.name in running and running[told.name].target == told.target:  # as in the file
                running[told.name] = replace(running[told.name], target=plugin.target)
        after, difference = saving.save(self._daemon.spec, running, dry_run=dry_run)
        if not dry_run:
            self._daemon.spec = after
        return difference

    def options(self) -> Mapping[str, object]:
        spec = self._daemon.spec
        return {
            "stats_endpoint": spec.stats_endpoint,
            "check_delay": spec.check_delay,
            "multicast_endpoint": spec.multicast_endpoint,
        }


def _plugins(spec: DaemonSpec, server: ControlServer) -> list[WatcherSpec]:
    return [told_place(plugin, server.endpoint, server.pubsub_endpoint) for plugin in spec.plugins]


def _wanted(supervisor: Supervisor) -> list[WatcherSpec]:
    """Return those that run, or will, be it on demand."""
    return [
        spec
        for name, spec in supervisor.specs().items()
        if supervisor.watcher(name).status is not Status.STOPPED
        or name in supervisor.coming
        or supervisor.triggers.armed(name)
    ]


async def _settled(supervisor: Supervisor) -> None:
    for name in supervisor.names:
        await supervisor.settled(name)


def _discovery(spec: DaemonSpec, endpoint: str) -> Discovery | None:
    """Tell others on the network where we are, if they could reach us there."""
    if spec.multicast_endpoint is None or not endpoint.startswith("tcp://"):
        return None
    return Discovery(spec.multicast_endpoint, endpoint, spec.multicast_allow_ips)


def _with(specs: Iterable[WatcherSpec], sockets: Collection[str]) -> list[WatcherSpec]:
    """Return those whose commands are given one of `sockets`."""
    return [spec for spec in specs if sockets_used(spec, sockets)]


def _app_words(old: Iterable[AppSpec], new: Iterable[AppSpec], moved: Collection[str]) -> Iterator[str]:
    """Say what would become of applications; their watchers are only described when it does."""
    before = {app.name: app for app in old}
    after = {app.name: app for app in new}
    yield from (f"remove {name}" for name in before if name not in after)
    for name, app in after.items():
        if name not in before:
            yield f"add {name}"
        elif replace(before[name], site=replace(before[name].site, workers=app.site.workers)) != app or (
            set(app.sockets) & set(moved)
        ):
            yield f"replace {name}"
        elif before[name] != app:
            yield f"scale {name} to {app.site.workers}"


def _words(steps: Sequence[plan.Step], remade: Sequence[WatcherSpec] = ()) -> list[str]:
    words = []
    for step in steps:
        match step:
            case plan.Add(spec) | plan.Replace(spec):
                words.append(f"{type(step).__name__.lower()} {spec.name}")
            case plan.Remove(name):
                words.append(f"remove {name}")
            case plan.Scale(name, count):
                words.append(f"scale {name} to {count}")
    return list(dict.fromkeys([*words, *(f"replace {spec.name}" for spec in remade)]))
