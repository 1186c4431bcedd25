# Changes of a file across an upgrade: what it says otherwise by now, and cannot be while the rest goes on.
#
# Rule: what would be half of the old and half of the new is refused by the probe, with what to do instead.
# What stays as it was is told by whoever has it. All else is taken.

from __future__ import annotations

from collections.abc import Iterator

from bigtop.config.file.apps import kept_of
from bigtop.config.file.daemon_spec import DaemonSpec
from bigtop.control.server import endpoint_security
from bigtop.errors import ConfigError
from bigtop.ipc.snapshot import SnapshotError
from bigtop.launch.run import file_preflight, listening
from bigtop.launch.upgrading.snapshots import DaemonState


def check_daemon(spec: DaemonSpec, state: DaemonState) -> None:
    """Raise SnapshotError for what cannot be."""
    for reason in _of_file(spec, state):
        raise SnapshotError(f"{reason}: bigtop ctl reloadconfig, then upgrade")
    for endpoint in _endpoints(state):
        try:  # it stays where it is, and keys are those that there are now
            endpoint_security.check(endpoint, file_preflight.security(spec))
        except ConfigError as error:
            raise SnapshotError(f"server_key, client_keys: {error}") from None


def _of_file(spec: DaemonSpec, state: DaemonState) -> Iterator[str]:
    """Yield what is started, or bound, and described otherwise by now."""
    apps = {app.name for app in spec.apps}
    for name in state.apps:
        if name not in apps:
            yield f"{name} runs, and {spec.path} does not name it any more"
    for name in listening.differ(state.specs, listening.described(spec.sockets, spec.apps)):
        yield f"{spec.path} says something else of the sockets of {name} by now"
    if (state.keeper is None) != (kept_of(spec.apps) is None):
        yield f"{spec.path} says something else of where certificates come from by now"


def _endpoints(state: DaemonState) -> Iterator[str]:
    """Yield where clients come, of the control channel and for figures."""
    if state.channel is not None:
        yield from (state.channel.endpoint, state.channel.pubsub_endpoint)
    figures = getattr(state.statistics, "endpoint", None)
    if figures is not None:
        yield figures
