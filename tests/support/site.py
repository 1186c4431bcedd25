# `bigtop serve` as a user runs it: a process of its own, its log in a file, its port from the kernel.
#
# Waiting is waiting for a log line or for a fact of the system, with a deadline; nothing sleeps blindly.

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType

import psutil

from bigtop.ipc.board import Scoreboard
from bigtop.ipc.scoreboard import View, Word
from bigtop.ipc.seats import Seat, Seats
from tests.support import procfs

ROOT = Path(__file__).parents[2]
DEADLINE = 30.0
SLOTS = 16  # of the seats that tests look at


def until(condition: Callable[[], object], what: str, timeout: float = DEADLINE) -> None:
    """Return as soon as `condition()` is true; fail saying `what` was waited for."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout:g} s in vain for {what}")
        time.sleep(0.01)


class Site:
    """A running `bigtop serve APP ARGS`, in a with statement; everything it left is ended with it."""

    def __init__(
        self,
        app: str,
        *args: str,
        bind: str = "127.0.0.1:0",
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bigtop-test-"))
        self.log_path = self.folder / "log"
        self.command = [sys.executable, "-m", "bigtop", "serve", app, "--bind", bind, *args]
        self._cwd = cwd
        self._env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "XDG_RUNTIME_DIR": str(self.folder),
            **(env or {}),
        }
        self._seen: set[psutil.Process] = set()

    def __enter__(self) -> Site:
        self.start()
        try:
            self.wait_for(": started")
        except AssertionError:
            self._end()
            raise
        return self

    @contextmanager
    def attempt(self) -> Iterator[Site]:
        """Start what may not come to be."""
        self.start()
        try:
            yield self
        finally:
            self._end()

    def start(self) -> None:
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self._cwd, env=self._env, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self.pid = self.process.pid

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        if error is not None:
            print(self.log(), file=sys.stderr)  # pytest shows it beside the failure

    def _end(self) -> None:
        self.family()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for process in self._seen:
            with suppress(psutil.NoSuchProcess):  # nor is it killed who has its number now
                process.kill()
        # Who is killed holds its sockets until it has had a turn to die.
        until(lambda: not any(map(lives, self._seen)), "the end of all processes")

    # ---- what it says

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def wait_for(self, text: str, times: int = 1, timeout: float = DEADLINE) -> None:
        """Wait until the log holds `text` so many times."""

        def there() -> bool:
            if self.log().count(text) >= times:
                return True
            if self.process.poll() is not None and self.log().count(text) < times:
                raise AssertionError(f"ended with {self.process.returncode}:\n{self.log()}")
            return False

        try:
            until(there, f"{text!r} x {times}", timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}; the log:\n{self.log()}") from None

    @property
    def url(self) -> str:
        found = re.search(r"listening on (https?://\S+?)(,|\s)", self.log())
        assert found, self.log()
        return found[1]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def get(self, path: str = "/", timeout: float = DEADLINE) -> str:
        with urllib.request.urlopen(self.url + path, timeout=timeout) as response:
            return str(response.read().decode())

    # ---- what it consists of

    def family(self) -> list[psutil.Process]:
        """Return all its processes but itself; they are remembered so that none outlives the test."""
        found = procfs.descendants(self.pid)
        self._seen.update(found)
        return found

    def workers(self) -> dict[int, str]:
        """Return pid -> title of the workers, those that drain included."""
        return self._titled("bigtop: worker ")

    def fork_servers(self) -> dict[int, str]:
        return self._titled("bigtop: fork server ")

    def _titled(self, start: str) -> dict[int, str]:
        titles = {process.pid: " ".join(procfs.words(process)).strip() for process in self.family()}
        return {pid: title for pid, title in titles.items() if title.startswith(start)}

    def running(self, *command: str, count: int = 1) -> list[psutil.Process]:
        """Return the processes that run a command, once there are so many."""
        found: list[psutil.Process] = []

        def there() -> bool:
            found[:] = [one for one in self.family() if procfs.words(one) == list(command)]
            return len(found) == count

        until(there, f"{count} x {command}")
        return found

    def total(self, word: Word | Seat) -> int:
        """Return the sum of a word over all workers."""
        if isinstance(word, Seat):
            return sum(self.seats.words(index)[word] for index in range(SLOTS))
        return sum(view.words[word] for view in self.scoreboard.values())

    @property
    def scoreboard(self) -> dict[int, View]:
        """The slots of the workers that there are now, by index."""
        views = {}
        for name, fd in procfs.open_files(self.pid, "/memfd:bigtop-scoreboard-"):
            board = Scoreboard(self.seats)
            board.watch(0, fd)
            os.close(fd)
            views[int(name.removesuffix(" (deleted)").rpartition("-")[2]) - 1] = board.of(0)
        return views

    @cached_property
    def seats(self) -> Seats:
        for _, fd in procfs.open_files(self.pid, "/memfd:bigtop-seats"):
            return Seats(fd)
        raise LookupError("the supervisor has no seats")

    # ---- what is done to it

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float = DEADLINE) -> int:
        return self.process.wait(timeout)

    def stop(self, number: int = signal.SIGTERM, timeout: float = DEADLINE) -> int:
        self.family()
        self.send(number)
        return self.wait(timeout)

    def is_gone(self) -> bool:
        """Whether nothing of it is left: no process, no listener on its port."""
        return not any(map(lives, self._seen)) and not procfs.listens(self.port)


def lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@contextmanager
def halted(pid: int) -> Iterator[None]:
    """Let no thread of a process do anything before the end of the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: _threads_stand(pid), f"process {pid} to stand still")
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _threads_stand(pid: int) -> bool:
    states = [stat.rpartition(")")[2].split()[0] for stat in procfs.threads(pid, "stat")]
    return set(states) == {"T"}
