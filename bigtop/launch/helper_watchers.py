# Watchers that Bigtop adds to those of a file: its plugins, and helpers that it asks for by an option.
#
# Rule: nothing here starts one, and nothing else knows of one: it is a watcher as any other.

from __future__ import annotations

from collections.abc import Iterator

from bigtop.config.file.daemon_spec import DaemonSpec
from bigtop.supervisor.policy.spec import WatcherSpec


def asked_for(spec: DaemonSpec) -> Iterator[WatcherSpec]:
    """Yield them, not yet told where the control channel is. CONTRIBUTING.md shows how to add one."""
    yield from spec.plugin_watchers
