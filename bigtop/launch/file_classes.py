# Classes in the snapshot of `bigtop run`: all that watchers are described with, and what is held of commands.

from __future__ import annotations

from typing import Final

from bigtop.keeper.publishing.publication import Published, Standing
from bigtop.launch.keeper import KeeperState
from bigtop.launch.snapshots import SHARED, DaemonState
from bigtop.launch.statistics import StatisticsState
from bigtop.supervisor.policy import deploy, scaling, spec
from bigtop.supervisor.policy.comparison import Thresholds
from bigtop.supervisor.processes.command_pool import CommandPoolState, CommandState
from bigtop.supervisor.processes.launcher_client import LauncherState
from bigtop.supervisor.processes.readiness import WatchState
from bigtop.supervisor.streams.formats import Chunk

OF_COMMANDS: Final = (
    *(CommandPoolState, CommandState, WatchState, LauncherState),
    *(spec.WatcherSpec, spec.Command, spec.ExecContext, spec.Cgroup, spec.Stdio, spec.StreamSpec),
    *(spec.RestartPolicy, spec.Respawn, spec.StopPolicy, spec.Readiness, spec.Lifetime, spec.Hook),
    *(deploy.DeployPolicy, deploy.HealthCheck, Thresholds, scaling.Bounds, scaling.ScaleCommand),
)
OF_HELPERS: Final = (StatisticsState, KeeperState, Published, Standing, *OF_COMMANDS)
OF_DAEMON: Final = (DaemonState, Chunk, *OF_HELPERS, *SHARED)
