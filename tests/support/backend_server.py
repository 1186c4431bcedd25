# A backend in a process of its own, with real listeners, a real lifeline and a real scoreboard.
#
# `with BackendServer("tests.apps.wsgi_basic:app", ServeOptions(...)) as server:` begins when the backend said
# that it is ready, and leaves nothing behind, also when the test failed.

from __future__ import annotations

import base64
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType

import psutil

from bigtop.backends.native.app_queues import AppQueue, AppQueues
from bigtop.backends.serve_options import ServeOptions
from bigtop.http.declarations import Route
from bigtop.http.paths.routes import Routes
from bigtop.ipc import handoff, lifeline, scoreboard, seats
from bigtop.ipc.keyring import Keyring
from bigtop.ipc.scoreboard import View, Word
from bigtop.ipc.seats import Seat, Seats, SeatState
from tests.support import procfs, zygote
from tests.support.gate import Gate
from tests.support.wire import Client, Closed, request

ROOT = Path(__file__).parents[2]


class BackendServer:
    """One worker's worth of a backend: a name, or MODULE:CLASS; `from_sources`: whatever build this is.

    It is forked from a process that has imported it, unless it is a foreign one, or `fresh`: then it is an
    interpreter of its own, as it must be where its memory is measured.
    """

    def __init__(
        self,
        app: str,
        options: ServeOptions | None = None,
        *,
        backend: str = "wsgi",
        unix: str | None = None,
        nofile: int | None = None,
        send_buffer: int | None = None,
        siblings: int = 0,
        routes: Sequence[tuple[Route, int]] = (),
        from_sources: bool = False,
        keyring: Keyring | None = None,
        fresh: bool = False,
    ) -> None:
        self._from_sources = from_sources
        self._fresh = fresh or from_sources or backend not in zygote.NATIVE
        self._setup = {
            "app": app,
            "options": options or ServeOptions(),
            "backend": backend,
            "routes": list(routes),
        }
        self.backend = backend
        self.is_encrypted = keyring is not None
        self._keyring_fd = -1 if keyring is None else keyring.seal()  # with one, TLS is spoken
        self._nofile = nofile
        self.listener = _listen(unix, send_buffer)
        self.address = self.listener.getsockname()
        self._slot_fd, self._seats_fd = scoreboard.create(1), seats.create()
        self.scoreboard = View(scoreboard.attach(self._slot_fd))
        self.seats = Seats(self._seats_fd)
        self._queues = handoff.make(1 + siblings) if siblings else []
        if siblings:
            # The test plays the sibling in slot 1: it takes and gives through this.
            copies = [os.dup(end.fileno()) for end in self._queues]
            self.sibling = handoff.Handoff(copies, self.seats, 1)
        # The test plays application 1, whose requests the worker, of application 0, hands over.
        self._app_queues = [AppQueue(), AppQueue()] if routes else []
        self._app_queue_fds = [fd for queue in self._app_queues for fd in queue.fds]
        if routes:
            copies = [os.dup(fd) for fd in self._app_queue_fds]
            self.neighbour = AppQueues(copies, Routes(routes, 1), [self.listener.fileno()])
        self._line, self._far = lifeline.pair()
        self._gates: list[Gate] = []
        self._access = tempfile.TemporaryFile()  # noqa: SIM115
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115

    def __enter__(self) -> BackendServer:
        fds = {
            "line": self._far.fileno(),
            "scoreboard": self._slot_fd,
            "seats": self._seats_fd,
            "access": self._access.fileno(),
            "listeners": [self.listener.fileno()],
            "handoff": [end.fileno() for end in self._queues],
            "app_queues": self._app_queue_fds,
            "keyring": self._keyring_fd,
        }
        setup = base64.b64encode(pickle.dumps(self._setup | fds)).decode()
        passed = [
            *(fds["line"], fds["scoreboard"], fds["seats"], fds["access"]),
            *(*fds["listeners"], *fds["handoff"]),
            *self._app_queue_fds,
            *([self._keyring_fd] if self._keyring_fd >= 0 else []),
        ]
        self.process = self._begin(setup, passed)
        self._far.close()
        self._line.settimeout(60)
        received = None
        with suppress(TimeoutError):
            received = lifeline.receive(self._line)
        if received is None or not isinstance(received[0], lifeline.Ready):
            self._end()
            raise AssertionError(f"the backend did not start:\n{self.log()}")
        return self

    def _begin(self, setup: str, passed: Sequence[int]) -> subprocess.Popen[bytes]:
        if not self._fresh and zygote.of(self.backend).fits():
            return zygote.of(self.backend).fork(setup, passed, self._stderr.fileno(), self._nofile)
        modules = ["tests.support.sources"] if self._from_sources else []
        modules.append("tests.support.backend_child")
        command = [sys.executable, "-X", "faulthandler", "-m", *modules, setup]
        if self._nofile is not None:
            command = ["prlimit", f"--nofile={self._nofile}", *command]
        return subprocess.Popen(command, cwd=ROOT, stderr=self._stderr, pass_fds=passed)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        if error is not None:
            print(self.log(), file=sys.stderr)
        elif self._setup["backend"] == "asgi":
            assert "Exception in callback" not in self.log(), "an event loop goes on, whatever fails in it"

    def _end(self) -> None:
        self._line.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for gate in self._gates:
            gate.close()
        self.listener.close()
        if self._queues:
            self.sibling.close()
        for end in self._queues:
            end.close()
        if self._app_queues:
            self.neighbour.close()
        for queue in self._app_queues:
            queue.close()
        os.close(self._slot_fd)
        os.close(self._seats_fd)
        if self._keyring_fd >= 0:
            os.close(self._keyring_fd)
        self._access.close()
        self._log = self.log()
        self._stderr.close()

    # ---- the client's side

    def connect(self, timeout: float = 30.0) -> Client:
        return Client(self.address, timeout)

    def hold(self, *clients: Client, view: str = "/held", headers: Sequence[str] = ()) -> Gate:
        """Have each of `clients` make a request that lasts until the gate is opened; return when all calls
        are inside the application."""
        gate = self.gate(view)
        for client in clients:
            client.send(request(gate.target, *headers))
        eventually(lambda: gate.entered() == len(clients), what="the calls are inside the application")
        return gate

    def gate(self, view: str = "/held") -> Gate:
        """Return a gate that is there as long as the server."""
        self._gates.append(Gate(view))
        return self._gates[-1]

    # ---- the supervisor's side

    def tell_to_drain(self, grace: float) -> None:
        lifeline.send(self._line, lifeline.Drain(grace))

    def drain(self, grace: float = 60.0) -> None:
        """Tell the worker to drain, and return when it has heard that: what comes now, comes behind it."""
        self.tell_to_drain(grace)
        eventually(lambda: self.word(Seat.STATE) != SeatState.READY, what="the drain is heard")

    def vanish(self) -> None:
        """Let the worker believe that its supervisor died."""
        self._line.close()

    def wait(self, timeout: float = 30.0) -> int:
        return self.process.wait(timeout)

    def listens(self) -> bool:
        """Whether the worker has the listener open."""
        inode = os.fstat(self.listener.fileno()).st_ino
        return f"socket:[{inode}]" in procfs.descriptors(self.process.pid).values()

    def play(
        self, state: SeatState, *, is_open: bool = True, idle: bool = False, connections: int = 0
    ) -> None:
        """Say what the sibling in slot 1 is doing."""
        seat = self.seats.words(1)
        seat[Seat.OPEN], seat[Seat.IDLE], seat[Seat.CONNECTIONS] = is_open, idle, connections
        seat[Seat.STATE] = state

    def serve_neighbour(self, state: SeatState = SeatState.READY) -> None:
        """Say what a worker of application 1 is doing."""
        Seats(self._app_queues[1].seats).words(0)[Seat.STATE] = state

    def word(self, word: Word | Seat) -> int:
        words = self.seats.words(0) if isinstance(word, Seat) else self.scoreboard.words
        return int(words[word])

    def rss(self) -> int:
        return psutil.Process(self.process.pid).memory_info().rss

    def written(self) -> int:
        """Return how many bytes left by write(2) and its like, to which send(2) does not belong."""
        return int(psutil.Process(self.process.pid).io_counters().write_chars)

    def cpu(self) -> float:
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system

    def log(self) -> str:
        if self._stderr.closed:
            return self._log
        return os.pread(self._stderr.fileno(), 1 << 24, 0).decode()

    def access_lines(self) -> list[str]:
        return os.pread(self._access.fileno(), 1 << 24, 0).decode().splitlines()


class SharedServers:
    """Servers that several tests ask in turn, and leave as they were: of equal ones there is one.

    What a server counts, writes and logs is that of all these tests: compare it with what it was before.
    """

    def __init__(self) -> None:
        self._running: dict[object, BackendServer] = {}

    def __enter__(self) -> SharedServers:
        return self

    def __exit__(self, *error: object) -> None:
        with ExitStack() as stack:  # each is ended, also when one of them has something to say
            for server in self._running.values():
                stack.push(server)

    @contextmanager
    def of(
        self,
        app: str,
        options: ServeOptions | None = None,
        *,
        backend: str = "wsgi",
        keyring: Keyring | None = None,
    ) -> Iterator[BackendServer]:
        """A server that none but this test asks until the end of the block; what fails there is its end."""
        key = (app, options or ServeOptions(), backend, keyring)
        if key not in self._running:
            server = BackendServer(app, options, backend=backend, keyring=keyring)
            self._running[key] = server.__enter__()
        try:
            yield self._running[key]
            assert self._running[key].process.poll() is None, "it is there for the next test"
        except BaseException as error:
            self._running.pop(key).__exit__(type(error), error, error.__traceback__)
            raise


@contextmanager
def stopped(server: BackendServer) -> Iterator[None]:
    """Let the worker see nothing before the end of the block, and everything at once then."""
    server.process.send_signal(signal.SIGSTOP)
    try:
        eventually(lambda: psutil.Process(server.process.pid).status() == psutil.STATUS_STOPPED)
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


class Steps:
    """Says when a test did something. Call it at each step."""

    def __init__(self) -> None:
        self._times: list[float] = []

    def __call__(self) -> None:
        self._times.append(time.monotonic())

    def longest(self) -> float:
        """Return how many seconds two steps took at most. Two: one may be marked late."""
        ends = self._times[2:] or self._times[-1:]
        return max((end - begin for begin, end in zip(self._times, ends, strict=False)), default=0.0)


def in_time(limit: float, attempt: Callable[[Steps], None]) -> None:
    """Run `attempt`, of whose steps no two in a row may take `limit` seconds: a server does not wait longer.

    Where it fails although they did not, it has failed. Otherwise this process was kept waiting by others on
    the machine, which tells nothing, and another attempt is made.
    """
    for _ in range(9):
        steps = Steps()
        try:
            attempt(steps)
            return
        except (AssertionError, ConnectionError, Closed):
            if steps.longest() < limit:
                raise
    raise AssertionError(f"each attempt was kept waiting for {limit} s")


def _listen(unix: str | None, send_buffer: int | None) -> socket.socket:
    if unix is not None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(unix)
    else:
        listener = socket.socket()
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if send_buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    listener.setblocking(False)
    return listener


def eventually(condition: Callable[[], bool], timeout: float = 30.0, what: str = "") -> None:
    """Wait until `condition()` holds; fail when it does not in time."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what or condition}"
        time.sleep(0.005)
