# Classes in what is written down of commands: descriptions of watchers, and what is held of processes.

from __future__ import annotations

from typing import Final

from bigtop.supervisor.policy import scaling, spec
from bigtop.supervisor.policy.deploys import deploy
from bigtop.supervisor.policy.deploys.comparison import Thresholds
from bigtop.supervisor.processes.commands.command_pool import CommandPoolState, CommandState
from bigtop.supervisor.processes.commands.launcher_client import LauncherState
from bigtop.supervisor.processes.commands.readiness import WatchState

OF_COMMANDS: Final = (
    *(CommandPoolState, CommandState, WatchState, LauncherState),
    *(spec.WatcherSpec, spec.Command, spec.ExecContext, spec.Cgroup, spec.Stdio, spec.StreamSpec),
    *(spec.RestartPolicy, spec.Respawn, spec.StopPolicy, spec.Readiness, spec.Lifetime, spec.Hook),
    *(deploy.DeployPolicy, deploy.HealthCheck, Thresholds, scaling.Bounds, scaling.ScaleCommand),
)
