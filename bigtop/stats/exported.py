# Samples of what is exported of all applications and watchers, without what takes time to read.

from __future__ import annotations

import platform
from collections.abc import Iterator

from bigtop import __version__, build
from bigtop.stats import metrics
from bigtop.stats.known import Known
from bigtop.stats.metrics import Sample
from bigtop.stats.roster import Roster


def counted(known: Known, roster: Roster) -> Iterator[Sample]:
    """Yield what workers and the supervisor count. Event loop only."""
    for name, figures in known.counts().items():
        yield from metrics.of_app(name, figures)
    for group in roster.groups:
        yield from metrics.of_watcher(group.name, group.tally)
        if not group.standing.is_app:
            yield Sample(metrics.LOG_DROPPED, (group.name,), group.dropped)
    compiled = "yes" if build.kind() == "compiled" else "no"
    yield Sample(metrics.BUILD, (__version__, compiled, platform.python_version()), 1)
