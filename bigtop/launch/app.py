# One application: what its workers share, and how they are watched.
#
# Rule: everything that the workers of all generations inherit is made once, before anything is forked, and
# stays with the supervisor: listening sockets, scoreboard, the queues between workers, their orders.

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace

from bigtop import handoff, lifeline, log
from bigtop.backends import registry
from bigtop.config.serve import ServeSpec
from bigtop.errors import ConfigError
from bigtop.scoreboard import Scoreboard
from bigtop.sockets import ListeningSocket
from bigtop.supervisor import messages
from bigtop.supervisor.forkservers import Legacy
from bigtop.supervisor.pool import WorkerPool
from bigtop.supervisor.spec import StopPolicy, WatcherSpec, Worker
from bigtop.workers import identity
from bigtop.workers.bootstrap import Bootstrap, Routing

logger = logging.getLogger("bigtop.supervisor")

_MOST_INBOXES = 128  # a worker looks at all of them before it gives a connection away


def check(spec: ServeSpec) -> None:
    """Find out what is wrong with `spec` without starting anything; ConfigError says what."""
    if spec.backend is not None:
        backend = registry.load(spec.backend)
        unix = any(bind.path is not None for bind in spec.binds)
        registry.require(backend, interface=backend.features.interface, options=spec.options, unix=unix)
    identity.resolve(spec.identity.user, spec.identity.group)
    if spec.reload and importlib.util.find_spec("watchfiles") is None:
        raise ConfigError("--reload needs watchfiles: pip install 'bigtop[reload]'")


class App:
    """Made before the event loop runs; everything else on the loop. The listeners stay their owner's, and so
    do a scoreboard that was given and what `routing` speaks of (routing.py)."""

    def __init__(
        self,
        spec: ServeSpec,
        listeners: Sequence[ListeningSocket],
        board: Scoreboard | None = None,
        routing: Routing | None = None,
    ) -> None:
        self.spec = spec
        self._routing = routing
        self._owns_board = board is None
        self.preload = ""  # "yes", or why not
        self.board = board or Scoreboard.create()
        # Twice as many as workers, since a reload has old and new ones side by side, and some to scale up.
        self._queues = handoff.make(min(2 * spec.workers + 16, _MOST_INBOXES))
        self._sockets = tuple(listener.fileno() for listener in listeners)
        self._legacy = self._orders()

    def become(
        self, spec: ServeSpec, listeners: Sequence[ListeningSocket], routing: Routing | None = None
    ) -> bool:
        """Have workers to come be those of `spec`; False if old and new could not share what they have."""
        before = self.spec
        if tuple(listener.fileno() for listener in listeners) != self._sockets:
            return False
        if (before.backend, before.interface, before.identity) != (
            spec.backend,
            spec.interface,
            spec.identity,
        ):
            return False
        if (routing is None) != (self._routing is None):  # the scoreboard would be another one
            return False
        self.spec = spec
        self._routing = routing
        self._legacy = self.pool.servers.legacy = self._orders()
        return True

    def _orders(self) -> Legacy:
        queues = tuple(end.fileno() for end in self._queues)
        passages = self._routing.passages if self._routing is not None else ()
        orders = replace(
            _bootstrap(self.spec, self._sockets, self.board, queues), routing=self._routing
        ).encode()
        return Legacy(orders, (*self._sockets, self.board.fd, *queues, *passages), dict(os.environ))

    def watcher(self, depends: tuple[str, ...] = (), priority: int = 0) -> WatcherSpec:
        spec = self.spec
        return WatcherSpec(
            name=spec.name,
            target=Worker(self._legacy.bootstrap, spec.options.timeout),
            numprocesses=spec.workers,
            stop=StopPolicy(graceful_timeout=spec.graceful_timeout),
            boot_timeout=spec.boot_timeout,
            depends=depends,
            priority=priority,
        )

    def make_pool(self, feed: Callable[[messages.Event], None]) -> WorkerPool:
        timeout = self.spec.options.timeout
        self.pool = WorkerPool(feed, self._legacy, self.board, timeout, _write_stderr, self._loaded)
        return self.pool

    def own_access_log(self) -> None:
        """Make the access log belong to the user that workers run as: they open it as that user."""
        uid, gid, _ = identity.resolve(self.spec.identity.user, self.spec.identity.group)
        path = self.spec.logs.access
        if path is None or path == log.STANDARD or (uid is None and gid is None):
            return
        log.AccessFile(path).close()
        os.chown(path, -1 if uid is None else uid, -1 if gid is None else gid)

    def reopen_logs(self) -> None:
        self.own_access_log()
        self.pool.reopen_logs()

    def close(self) -> None:
        for end in self._queues:
            end.close()
        if self._owns_board:
            os.close(self.board.fd)

    def _loaded(self, _generation: int, loaded: lifeline.Loaded) -> None:
        self.preload = "yes" if loaded.preloaded else f"no: {loaded.reason}"
        if loaded.interface:
            self.pool.interface = loaded.interface
        if not loaded.preloaded and self.spec.preload == "auto":
            logger.warning(
                "%s, which a fork would break, so each worker imports it for itself; "
                "--preload off says so without this warning, --preload on does it all the same",
                loaded.reason,
            )


def _bootstrap(
    spec: ServeSpec, sockets: tuple[int, ...], board: Scoreboard, queues: tuple[int, ...]
) -> Bootstrap:
    return Bootstrap(
        name=spec.name,
        app=spec.app,
        factory=spec.factory,
        interface=spec.interface,
        backend=spec.backend,
        preload=spec.preload,
        listeners=sockets,
        scoreboard=board.fd,
        handoff=queues,
        mounts=spec.mounts,
        max_requests=spec.max_requests,
        max_requests_jitter=spec.max_requests_jitter,
        graceful_timeout=spec.graceful_timeout,
        identity=spec.identity,
        logs=spec.logs,
        options=spec.options,
    )


def _write_stderr(lines: bytes) -> None:
    """Pass on what workers wrote to their stderr; a reader that went away costs the lines."""
    with contextlib.suppress(OSError):
        os.write(2, lines)
