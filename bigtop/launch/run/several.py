# The program of `bigtop run` as the control channel sees it: everything that a file names.

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from bigtop.config.file.daemon_spec import DaemonSpec, overridden
from bigtop.launch.app import App
from bigtop.launch.control.last_notices import LastNotices
from bigtop.launch.run import saving
from bigtop.launch.run.file_channel import FileChannel
from bigtop.launch.run.file_keeper import FileKeeper
from bigtop.launch.run.listening import Listening
from bigtop.launch.stopping import Stopping
from bigtop.launch.upgrading.upgrade import Upgrade
from bigtop.record import replace
from bigtop.supervisor.streams.formats import Chunk
from bigtop.supervisor.streams.writer import Outputs
from bigtop.supervisor.supervisor import Supervisor

if TYPE_CHECKING:
    from bigtop.launch.statistics import Statistics


class Running(Protocol):
    """What of the tree is passed on."""

    spec: DaemonSpec
    supervisor: Supervisor
    listening: Listening
    apps: dict[str, App]
    outputs: Outputs
    notices: LastNotices
    stopping: Stopping
    over: asyncio.Event
    statistics: Statistics | None
    upgrade: Upgrade
    keeper: FileKeeper
    channel: FileChannel

    def stop(self) -> None: ...

    def reload_config(self, *, dry_run: bool) -> Sequence[str]: ...

    def tail(self, name: str, lines: int) -> list[Chunk]: ...


class Several:
    """Everything that a file names, as the control channel sees it."""

    has_file = True

    def __init__(self, daemon: Running) -> None:
        self._daemon = daemon
        self.supervisor = supervisor = daemon.supervisor
        self.notices, self.over, self.stop = daemon.notices, daemon.over, daemon.stop
        self.stopping, self.look_for_certificates = daemon.stopping, daemon.keeper.look
        configuration = supervisor.configuration
        self.add, self.update, self.remove = configuration.add, configuration.update, configuration.remove
        self.apps, self.listening = daemon.apps, daemon.listening
        self.named_sockets = daemon.listening.named
        self.reload_config, self.tail, self.upgrade = daemon.reload_config, daemon.tail, daemon.upgrade

    @property
    def channel(self) -> FileChannel:
        return self._daemon.channel

    @property
    def keeper(self) -> FileKeeper:
        return self._daemon.keeper

    @property
    def statistics(self) -> Statistics | None:
        return self._daemon.statistics

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

    def dropped(self) -> Mapping[str, int]:
        return self._daemon.outputs.dropped

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
