# Snapshots of programs: what `bigtop serve` and `bigtop run` hold, for the version that goes on with it.
#
# Rule: what can be read or asked again stands in none of them: flags, files, what applications are told.

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bigtop.ipc import lifeline
from bigtop.ipc.keyring import TicketSecret
from bigtop.ipc.snapshot import Descriptor
from bigtop.launch import listener_states
from bigtop.launch.app import App, AppState
from bigtop.launch.control.channel import Channel, ChannelState
from bigtop.launch.listener_states import ListenerState
from bigtop.record import Record
from bigtop.sockets import SocketSpec
from bigtop.supervisor import snapshots
from bigtop.supervisor.processes.workers.forkserver import ForkServerState
from bigtop.supervisor.processes.workers.worker_member import WorkerState
from bigtop.supervisor.processes.workers.worker_pool import WorkerPoolState
from bigtop.supervisor.snapshots import SupervisorState
from bigtop.supervisor.streams.formats import Chunk
from bigtop.supervisor.streams.reader import LineReader, ReaderState

if TYPE_CHECKING:
    from bigtop.launch.run.listening import Listening
    from bigtop.launch.run.several import Several
    from bigtop.launch.serve.site_helpers import SiteHelpers
    from bigtop.launch.upgrading.standing import Standing
    from bigtop.supervisor.processes.commands.command_pool import PoolServices
    from bigtop.supervisor.processes.commands.launcher_client import LauncherState
    from bigtop.supervisor.supervisor import Supervisor


class SiteState(Record):
    """All of `bigtop serve`. `others` are children that were there before it."""

    name: str
    pidfile: Descriptor | None
    listeners: tuple[ListenerState, ...]
    app: AppState
    supervisor: SupervisorState
    channel: ChannelState | None
    others: tuple[int, ...]
    statistics: Record | None = None
    keeper: Record | None = None
    sources: ReaderState | None = None  # of the process that watches files
    stored: tuple[str, ...] = ()  # names of descriptors that the service manager keeps
    binds: tuple[SocketSpec, ...] = ()  # as they were described when they were bound
    workers: str = ""  # as many as were asked for


class DaemonState(Record):
    """All of `bigtop run`: sockets by name, as they are described and as they are bound; the ways between
    applications; what those share; the last lines of output by pid."""

    pidfile: Descriptor | None
    specs: Mapping[str, SocketSpec]
    bound: Mapping[str, tuple[ListenerState, ...]]
    queues: Mapping[str, tuple[Descriptor, ...]]
    apps: Mapping[str, AppState]
    supervisor: SupervisorState
    channel: ChannelState | None
    plugins: Mapping[tuple[str, str | None], ChannelState]  # by name and user
    others: tuple[int, ...]
    soft_limit: int
    launcher: LauncherState | None
    tails: Mapping[int, tuple[Chunk, ...]]
    statistics: Record | None = None
    keeper: Record | None = None
    stored: tuple[str, ...] = ()


_TO_WRITE = 0.5  # seconds for lines on their way to files

SHARED = (
    *(ListenerState, SocketSpec, AppState, TicketSecret, ChannelState),
    *(WorkerPoolState, WorkerState, ForkServerState, ReaderState, lifeline.Serves),
    *snapshots.CLASSES,
)
OF_SITE = (SiteState, *SHARED)


def of_site(
    app: App,
    supervisor: Supervisor,
    standing: Standing,
    channel: Channel | None,
    helpers: SiteHelpers | None,
    sources: LineReader | None,
) -> SiteState | str:
    """Return all of it, or what has to come to its end first."""
    held = snapshots.held(supervisor)
    if isinstance(held, str):
        return held
    return SiteState(
        name=app.spec.name,
        pidfile=_lock(standing),
        listeners=tuple(map(listener_states.of, app.listeners)),
        app=app.held(),
        supervisor=held,
        channel=None if channel is None else channel.held(),
        others=tuple(standing.others),
        statistics=None if helpers is None else helpers.held(),
        keeper=None if app.keeper is None else app.keeper.held(),
        sources=None if sources is None else sources.held(),
        stored=tuple(standing.store.names),
        binds=app.spec.binds if standing.state is None else standing.state.binds,
        workers=str(app.spec.workers),
    )


def _lock(standing: Standing) -> Descriptor | None:
    return None if standing.lock is None else Descriptor(standing.lock)


def of_daemon(several: Several, standing: Standing, services: PoolServices) -> DaemonState | str:
    """Return all of it, or what has to come to its end first."""
    launcher, outputs = services.spawner.launcher, services.outputs
    if several.stopping.urgency is not None:
        return "it stops"
    supervisor = snapshots.held(several.supervisor)
    if isinstance(supervisor, str):
        return supervisor
    if launcher.is_busy:
        return "a process is started"
    if watcher := outputs.drain(_TO_WRITE):
        return f"{watcher}: nobody takes its output"
    specs, bound = several.listening.held()
    return DaemonState(
        pidfile=_lock(standing),
        specs=specs,
        bound={name: tuple(map(listener_states.of, every)) for name, every in bound.items()},
        queues=several.listening.app_queues.held(),
        apps={name: app.held() for name, app in several.apps.items()},
        supervisor=supervisor,
        channel=several.channel.held(),
        plugins=several.channel.plugins.held(),
        others=tuple(standing.others),
        soft_limit=launcher.soft_limit,
        launcher=launcher.held(),
        tails=outputs.held(several.supervisor.watchers.pids()),
        statistics=None if several.statistics is None else several.statistics.held(),
        keeper=several.keeper.held(),
        stored=tuple(standing.store.names),
    )


def places(
    state: DaemonState | None,
) -> tuple[ChannelState | None, Mapping[tuple[str, str | None], ChannelState] | None]:
    """Return where the control channel was, and those of plugins."""
    return (None, None) if state is None else (state.channel, state.plugins)


def listen_on(listeners: Listening, state: DaemonState) -> None:
    """Go on with the sockets of another version."""
    bound = {name: list(map(listener_states.resumed, every)) for name, every in state.bound.items()}
    listeners.resume(state.specs, bound)
    listeners.app_queues.resume(state.queues)
