# One application: what its workers share, and how they are watched.
#
# Rule: everything that the workers of all generations inherit is made once, before anything is forked, and
# stays with the supervisor: listening sockets, seats, the queues between workers, their orders.

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bigtop import log
from bigtop.backends.cutoff import MARGIN
from bigtop.config.serve.serve import ServeSpec
from bigtop.errors import ConfigError
from bigtop.http.paths.time_limits import policy_of
from bigtop.ipc import client_table, handoff, lifeline, seats
from bigtop.ipc.board import Scoreboard
from bigtop.ipc.keyring import TicketSecret
from bigtop.ipc.retired import RetiredRecord
from bigtop.ipc.snapshot import Descriptor
from bigtop.launch.certificates import Certificates
from bigtop.launch.metrics_folder import MetricsFolder
from bigtop.log import logger as get_logger
from bigtop.record import Record, replace
from bigtop.sockets import ListeningSocket
from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.spec import StopPolicy, WatcherSpec, Worker
from bigtop.supervisor.processes.workers.forkserver import InheritedState, Started
from bigtop.supervisor.processes.workers.worker_pool import WorkerPool
from bigtop.supervisor.streams.formats import Joint
from bigtop.workers import identity
from bigtop.workers.bootstrap import Bootstrap, Routing

if TYPE_CHECKING:
    from bigtop.launch.keeper import Keeper

logger = get_logger("bigtop.supervisor")

_MOST_INBOXES = 128  # a worker looks at all of them before it gives a connection away


class AppState(Record):
    """What the workers of an application share, for a supervisor that goes on with them."""

    queues: tuple[Descriptor, ...]
    seats: Descriptor | None  # None: they are of the queue of a routed one
    retired: Descriptor
    metrics: str
    secret: TicketSecret
    preload: str
    clients: Descriptor | None = None  # None: none was needed yet
    arena: Descriptor | None = None  # the same


class App:
    """Made before the event loop runs; everything else on the loop. The listeners stay their owner's, and so
    do seats that were given, what `routing` speaks of (routing.py), and the `keeper`, who is there where CAs
    are asked for certificates. `tell` is called with what happens to these.

    Making it raises ConfigError where descriptors run out.
    """

    def __init__(
        self,
        spec: ServeSpec,
        listeners: Sequence[ListeningSocket],
        shared_seats: int | None = None,
        routing: Routing | None = None,
        keeper: Keeper | None = None,
        resumed: AppState | None = None,
    ) -> None:
        self.spec = spec
        self.tell: Callable[[messages.Notice], None] = lambda _notice: None
        self._routing = routing
        self.keeper = keeper
        self._owns_seats = shared_seats is None
        self.preload = "" if resumed is None else resumed.preload  # "yes", or why not
        with contextlib.ExitStack() as undo:
            try:
                self._queues = _queues(spec, resumed)
                undo.callback(_close, self._queues)
                self._seats = _seats(resumed) if shared_seats is None else shared_seats
                if self._owns_seats:
                    undo.callback(os.close, self._seats)
                self.retired = RetiredRecord(spec.name, resumed.retired.number if resumed else None)
                undo.callback(self.retired.close)
                self._clients = None if resumed is None else _number(resumed.clients)
                self._arena = None if resumed is None else _number(resumed.arena)
                self.metrics_folder = MetricsFolder(_users(spec), resumed.metrics if resumed else None)
                keepers = (self.retired, self.metrics_folder)
                self.board = Scoreboard(seats.Seats(self._seats), keepers)
            except OSError as error:
                raise ConfigError(
                    f"{spec.name}: no descriptors for the queues of its workers: {error.strerror}"
                    " (raise ulimit -n or LimitNOFILE=)"
                ) from error
            undo.pop_all()
        self.listeners = tuple(listeners)
        self.certificates = Certificates(spec, keeper, resumed.secret if resumed else None)
        self._adds_metrics = _adds_metrics(spec)
        self._inherited = self._orders()

    def held(self) -> AppState:
        """Return what another supervisor needs to go on with it, its pool aside."""
        return AppState(
            queues=tuple(Descriptor(end.fileno()) for end in self._queues),
            seats=Descriptor(self._seats) if self._owns_seats else None,
            retired=Descriptor(self.retired.fd),
            metrics=self.metrics_folder.path,
            secret=self.certificates.own_secret,
            preload=self.preload,
            clients=None if self._clients is None else Descriptor(self._clients),
            arena=None if self._arena is None else Descriptor(self._arena),
        )

    def become(
        self, spec: ServeSpec, listeners: Sequence[ListeningSocket], routing: Routing | None = None
    ) -> bool:
        """Have workers to come be those of `spec`; False if old and new could not share what they have.

        ConfigError: its certificates cannot be served with, and nothing changes."""
        before = self.spec
        if tuple(listener.fileno() for listener in listeners) != self._sockets():
            return False
        if spec.tls.is_wanted != before.tls.is_wanted:  # who has the sockets would not hear of it
            return False
        if (spec.tls.acme is None) != (before.tls.acme is None):  # nor would who is to answer CAs
            return False
        if (before.backend, before.interface, before.identity) != (
            spec.backend,
            spec.interface,
            spec.identity,
        ):
            return False
        if (routing is None) != (self._routing is None):  # the seats would be others
            return False
        self.certificates.become(spec, self.pool.hand_out)
        if spec.app_metrics != before.app_metrics:  # not for another number of workers: see --app-metrics
            self._adds_metrics = _adds_metrics(spec)
        self.spec = spec
        self.pool.warm_up.policy = spec.deploy
        self._routing = routing
        self._inherited = self.pool.servers.inherited = self._orders()
        return True

    def _sockets(self) -> tuple[int, ...]:
        return tuple(listener.fileno() for listener in self.listeners)

    def _answers(self) -> tuple[int, ...]:
        return () if self.keeper is None else self.keeper.answers

    def _orders(self) -> InheritedState:
        queues = tuple(end.fileno() for end in self._queues)
        app_queues = self._routing.app_queues if self._routing is not None else ()
        encrypted = [number for number, listener in enumerate(self.listeners) if listener.spec.tls]
        orders = replace(
            _bootstrap(self.spec, self._sockets(), self._seats, queues),
            routing=self._routing,
            app_metrics=self.metrics_path,
            keyring=self.certificates.fd,
            encrypted=tuple(encrypted),
            clients=self._client_table(),
            arena=self._cache_arena(),
            answers=self._answers(),
        ).encode()
        tables = [fd for fd in (self._clients, self._arena) if fd is not None]
        inherited = (*queues, *app_queues, *self.certificates.fds, *tables, *self._answers())
        fds = (*self._sockets(), self._seats, *inherited)
        spec = self.spec
        return InheritedState(spec.name, orders, fds, dict(os.environ), spec.folder, spec.identity.chdir)

    def _client_table(self) -> int | None:
        """Return where workers count what clients do: the same, once there is one, whoever serves."""
        if self._clients is None and self.spec.options.counts_clients:
            self._clients = client_table.create()
        return self._clients

    @property
    def arena(self) -> int | None:
        """The descriptor of where workers keep answers; None for nowhere."""
        return self._arena

    def _cache_arena(self) -> int | None:
        """Return where workers keep answers: the same as long as its size is, whoever serves."""
        size = self.spec.options.cache_size
        if not size:
            return self._arena
        from bigtop.ipc import cache_arena, cache_layout

        if self._arena is None or cache_layout.bytes_of(self._arena) != cache_layout.rounded(size):
            if self._arena is not None:  # workers that have it keep it
                os.close(self._arena)
            self._arena = cache_arena.create(size, self.spec.name)
        return self._arena

    @property
    def metrics_path(self) -> str:
        """Where workers count for prometheus_client; "" for nowhere."""
        return self.metrics_folder.path if self._adds_metrics else ""

    def watcher(self, depends: tuple[str, ...] = (), priority: int = 0) -> WatcherSpec:
        spec = self.spec
        return WatcherSpec(
            name=spec.name,
            target=self._target(),
            numprocesses=spec.workers.least,
            scaling=spec.workers.if_any,
            stop=StopPolicy(graceful_timeout=spec.graceful_timeout, margin=MARGIN),
            boot_timeout=spec.boot_timeout,
            lifetime=spec.retirement.lifetime,
            deploy=spec.deploy,
            depends=depends,
            priority=priority,
        )

    def _target(self) -> Worker:
        options = self.spec.options
        return Worker(
            self._inherited.bootstrap,
            options.timeout,
            options.threads,
            by_path=bool(options.limits.timeout_for),
            timeout_policy=policy_of(options.limits.timeout_action),
        )

    def make_pool(self, feed: Callable[[messages.Event], None]) -> WorkerPool:
        if self.spec.tls.acme is not None:  # what has come since it was described
            self.certificates.renew(lambda _message, _fd: None)
        self.pool = WorkerPool(feed, self._inherited, self.board, self._target(), stderr_writer, self._loaded)
        self.pool.warm_up.policy = self.spec.deploy
        return self.pool

    def renew(self) -> None:
        """Have workers serve with the certificates that there are now."""
        self.certificates.renew(self.pool.hand_out)

    def take(self, early: Started) -> None:
        """Have a fork server that had a head start be the first one, or be none."""
        if self.spec.hooks.names:  # a process of theirs may come and go before a fork server is wanted
            early.close()
        else:
            self.pool.servers.early = early

    def own_access_log(self) -> None:
        """Make the access log belong to the user that workers run as: they open it as that user."""
        account = identity.resolve(self.spec.identity.user, self.spec.identity.group)
        path = self.spec.logs.access
        if path is None or path == log.STANDARD or (account.uid is None and account.gid is None):
            return
        log.give(
            path,
            -1 if account.uid is None else account.uid,
            -1 if account.gid is None else account.gid,
        )

    def orders(self) -> bytes:
        """What workers to come are born with."""
        return self._inherited.bootstrap

    def reopen_logs(self) -> None:
        try:
            self.own_access_log()
        except ConfigError as error:  # workers try for themselves, as their user
            logger.error("%s", error)
        self.pool.reopen_logs()

    def close(self) -> None:
        _close(self._queues)
        self.retired.close()
        self.metrics_folder.close()
        self.certificates.close()
        for table in (self._clients, self._arena):
            if table is not None:
                os.close(table)
        if self._owns_seats:
            os.close(self._seats)

    def _loaded(self, _generation: int, loaded: lifeline.Loaded) -> None:
        if self.certificates.fd is not None:
            self.certificates.watch(self.pool.hand_out, lambda notice: self.tell(notice))
        self.preload = "yes" if loaded.preloaded else f"no: {loaded.reason}"
        if loaded.interface:
            self.pool.interface = loaded.interface
        if not loaded.preloaded and self.spec.preload == "auto":
            logger.warning(
                "%s, which a fork would break, so each worker imports it for itself; "
                "--preload off says so without this warning, --preload on does it all the same",
                loaded.reason,
            )
            if self.spec.retirement.refork:
                logger.warning(
                    "%s: no worker becomes a fork server: each has imported for itself", self.spec.name
                )


def _queues(spec: ServeSpec, resumed: AppState | None) -> list[socket.socket]:
    if resumed is None:
        # Twice as many as workers, since a reload has old and new ones beside each other, and some to
        # scale up.
        return handoff.make(min(2 * spec.workers.most + 16, _MOST_INBOXES))
    ends = [socket.socket(fileno=end.number) for end in resumed.queues]
    for end in ends:
        end.setblocking(False)
    return ends


def _seats(resumed: AppState | None) -> int:
    return seats.create() if resumed is None or resumed.seats is None else resumed.seats.number


def _number(descriptor: Descriptor | None) -> int | None:
    return None if descriptor is None else descriptor.number


def _users(spec: ServeSpec) -> set[int]:
    """Return who may have made the folder of metrics: we, or the user that workers become."""
    users = {os.geteuid()}
    with contextlib.suppress(ConfigError):  # which the fork server reports
        users.add(identity.resolve(spec.identity.user, spec.identity.group).uid or os.geteuid())
    return users


def _adds_metrics(spec: ServeSpec) -> bool:
    """One worker has all there is to add up, and without that prometheus_client can do more."""
    return spec.workers.most > 1 if spec.app_metrics == "auto" else spec.app_metrics == "on"


def _bootstrap(
    spec: ServeSpec, sockets: tuple[int, ...], seats_fd: int, queues: tuple[int, ...]
) -> Bootstrap:
    return Bootstrap(
        name=spec.name,
        app=spec.app,
        factory=spec.factory,
        interface=spec.interface,
        backend=spec.backend,
        preload=spec.preload,
        listeners=sockets,
        seats=seats_fd,
        handoff=queues,
        paste_logging=spec.paste_logging,
        mounts=spec.mounts,
        max_requests=spec.retirement.max_requests,
        max_requests_jitter=spec.retirement.max_requests_jitter,
        refork=spec.retirement.refork,
        graceful_timeout=spec.graceful_timeout,
        identity=spec.identity,
        logs=replace(spec.logs, time_zone=log.zone_name()),  # they write to the same log as we do
        options=spec.options,
        hooks=spec.hooks,
    )


def _close(queues: Sequence[socket.socket]) -> None:
    for end in queues:
        end.close()


_stderr = Joint()


def stderr_writer() -> Callable[[bytes], None]:
    """Return what passes on to our log what one process wrote to its standard error."""
    writer = object()

    def write(data: bytes) -> None:
        with contextlib.suppress(OSError):  # a reader that went away costs the lines
            os.write(log.descriptor(), _stderr.join(writer, lambda _goes_on: data))

    return write
