# From specs to a running program. The only file that knows everybody.
#
# serve() reads as a list: bind, describe, start, wait, clean up. Rule: what is decided here is who is given
# what; nothing here decides what happens to a process (supervisor/machine.py does).

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psutil

from bigtop import handoff, kernel, lifeline, log, pidfile, sockets
from bigtop.backends import catalogue, registry
from bigtop.config.serve import ServeSpec
from bigtop.errors import AppError, ConfigError
from bigtop.scoreboard import Scoreboard
from bigtop.supervisor import journal, messages
from bigtop.supervisor.core import Supervisor
from bigtop.supervisor.forkservers import Legacy
from bigtop.supervisor.pool import WorkerPool
from bigtop.supervisor.process import reap_strangers, spawn
from bigtop.supervisor.spec import StopPolicy, WatcherSpec, Worker
from bigtop.supervisor.streams.reader import LineReader
from bigtop.workers import identity
from bigtop.workers.bootstrap import Bootstrap

logger = logging.getLogger("bigtop.supervisor")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a start-up summary can tell, once it is known."""

    spec: ServeSpec
    interface: str
    backend: str
    preload: str  # "yes", or why not
    addresses: tuple[str, ...]
    pid: int


Summary = Callable[[Facts], None]


def serve(spec: ServeSpec, summary: Summary | None = None) -> int:
    """Serve until told to stop; return the exit status.

    Raises ConfigError, BindError and AppError (the application cannot be loaded at first start) with
    everything released again. Main thread only, since it takes the process' signals.
    """
    check(spec)
    log.configure(spec.logs.level, json=spec.logs.json, path=spec.error_logfile)
    if note := catalogue.explain(spec.backend or ""):
        logger.info("%s", note)
    _own_access_log(spec)
    with contextlib.ExitStack() as cleanup:
        cleanup.enter_context(_signals_held_back())
        cleanup.enter_context(pidfile.held(spec.pidfile))
        listeners = sockets.activated(os.environ) or sockets.bind_all(spec.binds)
        for listener in listeners:
            cleanup.callback(listener.close)
        board = Scoreboard.create()
        cleanup.callback(os.close, board.fd)
        # Twice as many as workers, since a reload has old and new ones side by side, and some to scale up.
        queues = handoff.make(min(2 * spec.workers + 16, _MOST_INBOXES))
        for end in queues:
            cleanup.callback(end.close)
        shared_fds = tuple(end.fileno() for end in queues)
        orders = _bootstrap(spec, listeners, board, shared_fds).encode()
        if not kernel.become_subreaper():
            raise ConfigError("bigtop serve needs Linux: workers are adopted through PR_SET_CHILD_SUBREAPER")
        kernel.raise_file_limit()
        kernel.set_title(f"bigtop: supervisor [{spec.name}]")
        fds = (*(listener.fileno() for listener in listeners), board.fd, *shared_fds)
        logger.info("listening on %s", ", ".join(listener.address() for listener in listeners))
        shared = _Inheritance(Legacy(orders, fds, dict(os.environ)), board, tuple(listeners))
        cleanup.callback(_sweep, _children())
        return asyncio.run(_Site(spec, shared, summary).run())


def check(spec: ServeSpec) -> None:
    """Find out what is wrong with `spec` without starting anything; ConfigError says what."""
    if spec.backend is not None:
        backend = registry.load(spec.backend)
        unix = any(bind.path is not None for bind in spec.binds)
        registry.require(backend, interface=backend.features.interface, options=spec.options, unix=unix)
    identity.resolve(spec.identity.user, spec.identity.group)
    if spec.reload and importlib.util.find_spec("watchfiles") is None:
        raise ConfigError("--reload needs watchfiles: pip install 'bigtop[reload]'")


def _bootstrap(
    spec: ServeSpec, listeners: list[sockets.ListeningSocket], board: Scoreboard, queues: tuple[int, ...]
) -> Bootstrap:
    return Bootstrap(
        name=spec.name,
        app=spec.app,
        factory=spec.factory,
        interface=spec.interface,
        backend=spec.backend,
        preload=spec.preload,
        listeners=tuple(listener.fileno() for listener in listeners),
        scoreboard=board.fd,
        handoff=queues,
        max_requests=spec.max_requests,
        max_requests_jitter=spec.max_requests_jitter,
        graceful_timeout=spec.graceful_timeout,
        identity=spec.identity,
        logs=spec.logs,
        options=spec.options,
    )


@dataclass(frozen=True, slots=True)
class _Inheritance:
    """What the supervisor shares with its children."""

    legacy: Legacy
    board: Scoreboard
    listeners: tuple[sockets.ListeningSocket, ...]


_STOPS = {
    signal.SIGTERM: messages.Urgency.GRACEFUL,
    signal.SIGINT: messages.Urgency.QUICK,
    signal.SIGQUIT: messages.Urgency.QUICK,
}
_SCALES = {signal.SIGTTIN: 1, signal.SIGTTOU: -1}
_HANDLED = (*_STOPS, *_SCALES, signal.SIGHUP, signal.SIGUSR1)


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Let signals wait before the event loop takes them, and after it did until everything is cleaned up.

    From the pidfile on, anybody may send one: it must neither be lost nor end us halfway.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    try:
        yield
        while signal.sigtimedwait(_HANDLED, 0):  # who still wants something from us has it, or is too late
            pass
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Site:
    """One served application, from start to stop. Event loop only."""

    def __init__(self, spec: ServeSpec, shared: _Inheritance, summary: Summary | None) -> None:
        self._spec = spec
        self._shared = shared
        self._summary = summary
        self._supervisor = Supervisor(self._hear, self._make_pool)
        self._addresses = tuple(listener.address() for listener in shared.listeners)
        self._preload = ""
        self._started = False
        self._failure: str | None = None
        self._urgency: messages.Urgency | None = None  # of the stop that was asked for
        self._asked_at = 0.0
        self._over = asyncio.Event()
        self._supervisor.enter(_watcher(spec, shared.legacy))

    def _make_pool(self, _spec: WatcherSpec, feed: Callable[[messages.Event], None]) -> WorkerPool:
        timeout = self._spec.options.timeout
        shared = self._shared
        self._pool = WorkerPool(feed, shared.legacy, shared.board, timeout, _write_stderr, self._loaded)
        return self._pool

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in _HANDLED:
            loop.add_signal_handler(number, self._on_signal, number)
        loop.add_signal_handler(signal.SIGCHLD, self._on_child)
        self._feed(messages.Start())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        if self._spec.reload:
            _watch_files(self._spec, self._file_changed)
        try:
            await self._over.wait()
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
            # asyncio closes what wakes it up before it lets go of signals: one could hit a closed pipe.
            for number in (*_HANDLED, signal.SIGCHLD):
                loop.remove_signal_handler(number)
        if self._failure is not None:
            message, _, traceback = self._failure.partition("\n")
            raise AppError(message, traceback)
        return 0

    def _feed(self, event: messages.Event) -> None:
        self._supervisor.feed(self._spec.name, event)

    # ---- what is asked of us

    def _on_signal(self, number: int) -> None:
        name = signal.Signals(number).name
        if number in _STOPS:
            self._stop(name, _STOPS[signal.Signals(number)])
        elif self._urgency is not None:
            logger.info("%s ignored: stopping", name)
        elif number == signal.SIGUSR1:
            self._reopen_logs()
        elif number == signal.SIGHUP:
            logger.info("%s: reloading", name)
            self._feed(messages.Reload())
        else:
            count = max(
                1, self._supervisor.watcher(self._spec.name).numprocesses + _SCALES[signal.Signals(number)]
            )
            logger.info("%s: %d worker%s from now on", name, count, "" if count == 1 else "s")
            self._feed(messages.Scale(count))

    def _stop(self, name: str, urgency: messages.Urgency) -> None:
        """Stop; a second signal forces, but for a first INT or QUIT after a TERM, which is quick.

        Two that come together are one: timeout(1) and some shells signal the process, then its group.
        """
        now = time.monotonic()
        if self._urgency is not None:
            if now - self._asked_at < _TOGETHER:
                return
            again = self._urgency.value >= urgency.value
            urgency = messages.Urgency.NOW if again else urgency
        self._urgency, self._asked_at = urgency, now
        logger.info("%s: stopping%s", name, _HOW[urgency])
        # A port that nobody will serve any more refuses at once, so that a balancer can turn elsewhere: all
        # copies of the socket have to go for that, ours, those of fork servers, those of draining workers.
        for listener in self._shared.listeners:
            listener.close()
        self._pool.servers.discard_all()
        self._feed(messages.Stop(urgency))

    def _reopen_logs(self) -> None:
        log.reopen()
        _own_access_log(self._spec)
        self._pool.reopen_logs()
        logger.info("logs reopened")

    def _file_changed(self, lines: bytes) -> None:
        if self._urgency is None:
            logger.info("changed: %s; reloading", lines.decode("utf-8", "replace").strip())
            self._feed(messages.Reload())

    # ---- what happens

    def _loaded(self, _generation: int, loaded: lifeline.Loaded) -> None:
        self._preload = "yes" if loaded.preloaded else f"no: {loaded.reason}"
        if loaded.interface:
            self._pool.interface = loaded.interface
        if not loaded.preloaded and self._spec.preload == "auto":
            logger.warning(
                "%s, which a fork would break, so each worker imports it for itself; "
                "--preload off says so without this warning, --preload on does it all the same",
                loaded.reason,
            )

    def _hear(self, name: str, notice: messages.Notice) -> None:
        last_words = self._pool.last_words.get(notice.wid, ()) if isinstance(notice, messages.Died) else ()
        first_start_failed = isinstance(notice, messages.GaveUp) and not self._started
        if not first_start_failed:  # that one is raised, and told by whoever called us
            logger.log(*journal.line(name, notice, last_words))
        match notice:
            case messages.Started() if not self._started:
                self._started = True
                self._tell_summary()
            case messages.GaveUp(reason):
                self._failure = reason
            case messages.Stopped():
                self._over.set()

    def _tell_summary(self) -> None:
        if self._summary is None:
            return
        interface = self._pool.interface
        facts = Facts(
            self._spec,
            interface,
            _backend(self._spec.backend, interface),
            self._preload,
            self._addresses,
            os.getpid(),
        )
        self._summary(facts)

    def _on_child(self) -> None:
        """SIGCHLD: most deaths are learned from pidfds; what is left are orphans that came to us."""
        known = self._pool.pids()
        # A worker may be ours before we were told its pid; until then nobody is a stranger for sure.
        if self._pool.servers.forking or reap_strangers(known.__contains__):
            asyncio.get_running_loop().call_later(_LOOK_AGAIN, self._on_child)


def _backend(asked: str | None, interface: str) -> str:
    """Return the backend's name, and why it is this one where nobody asked for it."""
    return (
        catalogue.canonical(asked)
        if asked
        else f"{interface}, since the application speaks {interface.upper()}"
    )


_HOW = {
    messages.Urgency.GRACEFUL: " when open requests are answered",
    messages.Urgency.QUICK: " at once",
    messages.Urgency.NOW: ", killing what is left",
}
_MOST_INBOXES = 128  # a worker looks at all of them before it gives a connection away
_TOGETHER = 0.3  # seconds between two signals that are taken for one
_LOOK_AGAIN = 0.1  # seconds, and only while a child of ours is being born or collected


def _watcher(spec: ServeSpec, legacy: Legacy) -> WatcherSpec:
    return WatcherSpec(
        name=spec.name,
        target=Worker(legacy.bootstrap, spec.options.timeout),
        numprocesses=spec.workers,
        stop=StopPolicy(graceful_timeout=spec.graceful_timeout),
        boot_timeout=spec.boot_timeout,
    )


def _write_stderr(lines: bytes) -> None:
    """Pass on what workers wrote to their stderr; a reader that went away costs the lines."""
    with contextlib.suppress(OSError):
        os.write(2, lines)


def _own_access_log(spec: ServeSpec) -> None:
    """Make the access log belong to the user that workers run as: they open it as that user."""
    uid, gid, _ = identity.resolve(spec.identity.user, spec.identity.group)
    path = spec.logs.access
    if path is None or path == log.STANDARD or (uid is None and gid is None):
        return
    log.AccessFile(path).close()
    os.chown(path, -1 if uid is None else uid, -1 if gid is None else gid)


def _watch_files(spec: ServeSpec, changed: Callable[[bytes], None]) -> None:
    """Start the process that watches source files; it ends with us."""
    folders = [spec.identity.chdir or os.getcwd(), *spec.identity.pythonpath]
    read_end, write_end = os.pipe()
    argv = [sys.executable, "-P", "-m", "bigtop.workers.reloader", *folders, "--", *spec.reload_extra_files]
    try:
        spawn(argv, os.environ, stdout=write_end)
    finally:
        os.close(write_end)
    LineReader(read_end, changed)


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def _sweep(others: set[int]) -> None:
    """End and collect every child but `others`: whatever our workers left behind has become ours."""
    left = [child for child in psutil.Process().children() if child.pid not in others]
    for child in left:
        for process in (*child.children(recursive=True), child):
            with contextlib.suppress(psutil.Error):
                process.kill()
    psutil.wait_procs(left, timeout=_SWEEP_SECONDS)


_SWEEP_SECONDS = 5.0
