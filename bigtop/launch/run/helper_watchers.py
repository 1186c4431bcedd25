# Watchers that Bigtop adds to those of a file: its plugins, and helpers that it asks for by an option.
#
# Rule: nothing here starts one, and nothing else knows of one: it is a watcher as any other.

from __future__ import annotations

import os
from collections.abc import Iterator

from bigtop.cluster.spec import NAME as AGENT
from bigtop.config.file.daemon_spec import DaemonSpec
from bigtop.supervisor.policy.helper import ENDPOINT, Helper
from bigtop.supervisor.policy.spec import WatcherSpec
from bigtop.web.spec import NAME as CONSOLE


def asked_for(spec: DaemonSpec) -> Iterator[WatcherSpec]:
    """Yield them, not yet told where the control channel is. CONTRIBUTING.md shows how to add one."""
    yield from spec.plugin_watchers
    if spec.web is not None:
        helper = Helper(
            name=CONSOLE,
            module="bigtop.web.program",
            arguments=(spec.web.encode(), ENDPOINT),
            priority=0,
        )
        yield helper.watcher(os.environ)
    if spec.agent is not None:
        helper = Helper(
            name=AGENT,
            module="bigtop.cluster.agent",
            arguments=(spec.agent.folder, ENDPOINT, spec.agent.role),
            priority=0,
        )
        yield helper.watcher(os.environ)
