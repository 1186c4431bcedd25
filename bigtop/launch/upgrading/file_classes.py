# Classes in the snapshot of `bigtop run`.

from __future__ import annotations

from typing import Final

from bigtop.keeper.publishing.publication import Published, Standing
from bigtop.launch.keeper import KeeperState
from bigtop.launch.statistics import StatisticsState
from bigtop.launch.upgrading.command_classes import OF_COMMANDS
from bigtop.launch.upgrading.snapshots import SHARED, DaemonState
from bigtop.stats.admin.admission import Admission
from bigtop.supervisor.streams.formats import Chunk

OF_HELPERS: Final = (StatisticsState, Admission, KeeperState, Published, Standing, *OF_COMMANDS)
OF_DAEMON: Final = (DaemonState, Chunk, *OF_HELPERS, *SHARED)
