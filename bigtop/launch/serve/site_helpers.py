# The helper watchers of `bigtop serve`, beside its one application.
#
# Rule: they are for the site and not the other way round: it starts before they do, none of their failures is
# one of it, and they end with it.

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from bigtop.control import addresses
from bigtop.control.server.endpoint_security import OWNER_ONLY
from bigtop.errors import BindError, ConfigError
from bigtop.launch.app import App
from bigtop.launch.control.overview import Running
from bigtop.launch.statistics import Resumed, Statistics, StatisticsState, described, tell_stays
from bigtop.log import logger as get_logger
from bigtop.stats.pace import NAME, Pace
from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.messages import Urgency
from bigtop.supervisor.policy.spec import WatcherSpec
from bigtop.supervisor.policy.watcher import Status
from bigtop.supervisor.processes.commands.command_pool import CommandPool, PoolServices
from bigtop.supervisor.processes.commands.launcher_client import LauncherClient
from bigtop.supervisor.processes.commands.spawner import Spawner
from bigtop.supervisor.streams.writer import Outputs
from bigtop.supervisor.supervisor import Supervisor

logger = get_logger("bigtop.supervisor")


class SiteHelpers:
    """The stats process and the keeper of certificates. From construction, which binds an endpoint, to
    close(); event loop only. Who goes on for another supervisor has the stats process that was there, or
    none. Raises ConfigError and BindError."""

    def __init__(self, app: App, running: Running, resumed: Resumed | None) -> None:
        self._supervisor: Supervisor = running.supervisor
        self._app = app
        self._keeper = app.keeper
        self.statistics = self._statistics(app, running, resumed)
        spawner = Spawner(LauncherClient(), self._sockets_for, folder=os.getcwd())
        self._services = PoolServices(spawner, Outputs(_complain), self._supervisor.hear)
        self._names: list[str] = []

    def _statistics(self, app: App, running: Running, resumed: Resumed | None) -> Statistics | None:
        before: StatisticsState | None = None if resumed is None else resumed.statistics
        name, where, admin = app.spec.name, app.spec.stats, app.spec.admin
        stays = {
            "--stats": "" if where == "off" else where,
            "--admin": described(admin),
            "--statsd-host": "" if app.spec.statsd is None else repr(app.spec.statsd),
            "--otlp-endpoint": "" if app.spec.otlp is None else repr(app.spec.otlp),
        }
        if resumed is not None:
            tell_stays(stays, before)
        if before is None and (resumed is not None or not app.spec.has_statistics):
            return None
        self._pace = Pace(emission=app.spec.statsd, otlp=app.spec.otlp)
        asked = (
            *(("--stats", where != "off"), ("--admin", admin)),
            *(("--statsd-host", app.spec.statsd), ("--otlp-endpoint", app.spec.otlp)),
        )
        flags = [flag for flag, is_given in asked if is_given]
        if name.lower() == NAME and flags:
            raise ConfigError(
                f"{flags[0]}: {NAME} is the name of the process that publishes figures: --name gives another"
            )
        endpoint = None if where == "off" else f"ipc://{where}"
        if where == "auto":
            endpoint = addresses.stats_beside(addresses.of(name)[0])
        try:
            return Statistics(endpoint, OWNER_ONLY, running, admin, before, stays)
        except BindError as error:
            raise BindError(f"{' or '.join(flags)}: {error}") from error

    def held(self) -> StatisticsState | None:
        """Return what another supervisor needs to go on with the stats process."""
        return None if self.statistics is None else self.statistics.held()

    def enter(self) -> None:
        """Have the supervisor know them, who asks for their pool()."""
        if self.statistics is not None:
            self._enter(self.statistics.watcher(self._pace))
        tls = self._app.spec.tls
        if self._keeper is not None and tls.acme is not None:
            self._enter(self._keeper.watcher(tls.acme, tls.auto))
            self._keeper.attend(lambda: [self._app])

    def _enter(self, watcher: WatcherSpec) -> None:
        self._names.append(watcher.name)
        self._supervisor.dispatcher.enter(watcher)

    def pool(self, spec: WatcherSpec, feed: Callable[[messages.Event], None]) -> CommandPool:
        return CommandPool(spec, feed, self._services)

    def start(self, *, is_early: bool = False) -> None:
        """Start them. While it is early the application cannot answer a CA: no certificate is asked for."""
        for name in self._names:
            if is_early and name != NAME:
                continue
            self._supervisor.dispatcher.feed(name, messages.Start())

    def stop(self, urgency: Urgency) -> bool:
        """Have them stop; return whether none runs any more. Else it is heard when one has stopped."""
        for name in self._names:
            self._supervisor.dispatcher.feed(name, messages.Stop(urgency))
        machine = self._supervisor.watchers.machine
        return all(machine(name).status is Status.STOPPED for name in self._names)

    def look(self) -> None:
        """Have the keeper look at its storage, if there is one."""
        if self._keeper is not None:
            self._keeper.look()

    def close(self) -> None:
        if self.statistics is not None:
            self.statistics.close()
        if self._keeper is not None:
            self._keeper.leave()
        self._services.outputs.end()
        self._services.spawner.launcher.close()

    def _sockets_for(self, spec: WatcherSpec, _own: Callable[[int], None]) -> Mapping[str, int]:
        found = {} if self.statistics is None else self.statistics.sockets_for(spec)
        return found if self._keeper is None else {**found, **self._keeper.sockets_for(spec)}


def _complain(watcher: str, trouble: str) -> None:
    logger.error("%s: %s", watcher, trouble)
