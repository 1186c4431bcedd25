# Samples of what is exported of all applications and watchers, without what takes time to read.

from __future__ import annotations

import platform
from collections.abc import Iterator

from bigtop import __version__, build
from bigtop.stats.export import metrics
from bigtop.stats.export.metrics import Sample
from bigtop.stats.known import Known
from bigtop.stats.roster import Roster


def counted(known: Known, roster: Roster) -> Iterator[Sample]:
    """Yield what workers and the supervisor count. Event loop only."""
    threads = {group.name: group.standing.threads for group in roster.groups}
    for name, figures in known.counts().items():
        yield from metrics.of_app(name, figures)
        yield Sample(metrics.BUSY_RATIO, (name,), known.occupancy.share(name, figures, threads.get(name, 1)))
    for group in roster.groups:
        yield from metrics.of_watcher(group.name, group.tally)
        if not group.standing.is_app:
            yield Sample(metrics.LOG_DROPPED, (group.name,), group.dropped)
    compiled = "yes" if build.kind() == "compiled" else "no"
    yield Sample(metrics.BUILD, (__version__, compiled, platform.python_version()), 1)
