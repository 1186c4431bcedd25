# Everything that processes write, on its way from the event loop to where it belongs.
#
# Rules: the loop only puts whole lines into a queue of bounded size; one thread takes them out and writes. A
# disk that hangs therefore costs lines, which are counted and told, and never the supervision of anything.
# The last lines of each process are kept for `tail`, and whoever follows is told of each new one.

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from bigtop.supervisor.spec import WatcherSpec
from bigtop.supervisor.streams import sinks
from bigtop.supervisor.streams.formats import Chunk

_GATHER = 0.01  # seconds that lines may wait for others: two threads that wake each other by turns are slow
ROOM = 16 << 20  # bytes that may wait to be written
KEPT_BYTES = 32 << 10
_FORGET = 1000  # processes whose last lines are kept

Follower = Callable[[Chunk], None]


@dataclass(slots=True)
class _Outlet:
    """The sinks of one watcher by "stdout" and "stderr", and what they could not take."""

    sinks: dict[str, sinks.Sink]
    failing: set[str] = field(default_factory=set)


class Tail:
    """The last lines of one process, as many as fit into KEPT_BYTES."""

    def __init__(self) -> None:
        self.chunks: deque[Chunk] = deque()
        self._size = 0

    def add(self, chunk: Chunk) -> None:
        if len(chunk.lines) > KEPT_BYTES:
            _cut, _newline, rest = chunk.lines[-KEPT_BYTES:].partition(b"\n")
            chunk = replace(chunk, lines=rest or chunk.lines[-KEPT_BYTES:])
        self.chunks.append(chunk)
        self._size += len(chunk.lines)
        while self._size > KEPT_BYTES:
            self._size -= len(self.chunks.popleft().lines)


class Outputs:
    """The outputs of all watchers. Event loop only, but for the one thread of its own.

    `complain` is called in that thread: with a watcher's name and what is wrong.
    """

    def __init__(self, complain: Callable[[str, str], None], room: int = ROOM) -> None:
        self._complain = complain
        self._room = room
        self._outlets: dict[str, _Outlet] = {}
        self._tails: dict[int, Tail] = {}  # by pid, oldest process first
        self._followers: dict[str, list[Follower]] = {}  # by watcher
        self._queue: deque[tuple[_Outlet, Chunk] | _Outlet] = deque()
        self._waiting = 0  # bytes in the queue
        self._dropped: dict[str, int] = {}  # lines, by watcher
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._asleep = False  # the thread, until it is notified
        self._ending = threading.Event()

    # ---- which there are

    def open(self, spec: WatcherSpec) -> None:
        """Make the sinks of a watcher, in place of those it had; ConfigError if that cannot be."""
        made = sinks.make_all(spec)
        self.close(spec.name)
        self._outlets[spec.name] = _Outlet(made)

    def close(self, name: str) -> None:
        """Close the sinks of a watcher when all that is on its way was written."""
        outlet = self._outlets.pop(name, None)
        if outlet is not None and outlet.sinks:
            self._put(outlet)

    def reopen(self) -> None:
        """Have every file opened anew, once what is on its way was written: somebody moved them."""
        for outlet in self._outlets.values():
            if outlet.sinks:
                self._put(outlet)

    def forget(self, name: str) -> None:
        """The watcher is gone, and with it whoever followed it."""
        self.close(name)
        self._followers.pop(name, None)

    def lose(self, pid: int) -> None:
        """A process is gone, and nobody can ask for its last lines any more."""
        self._tails.pop(pid, None)

    def sink(self, name: str, which: str) -> sinks.Sink | None:
        outlet = self._outlets.get(name)
        return None if outlet is None else outlet.sinks.get(which)

    # ---- what is written

    def take(self, name: str, pid: int, wid: int, which: str, lines: bytes) -> None:
        """Pass on whole lines of one process."""
        chunk = Chunk(name, pid, wid, which, lines, time.time())
        if pid not in self._tails:
            if len(self._tails) >= _FORGET:
                del self._tails[next(iter(self._tails))]
            self._tails[pid] = Tail()
        self._tails[pid].add(chunk)
        for follower in list(self._followers.get(name, ())):
            follower(chunk)
        outlet = self._outlets.get(name)
        if outlet is None or which not in outlet.sinks:
            return
        with self._wake:
            if self._waiting + len(lines) > self._room:
                self._dropped[name] = self._dropped.get(name, 0) + lines.count(b"\n")
                return
            self._waiting += len(lines)
        self._put((outlet, chunk))

    def tail(self, pids: Iterable[int], count: int = 200) -> list[Chunk]:
        """Return the last lines of these processes together, oldest first, one line each."""
        chunks = [chunk for pid in pids if pid in self._tails for chunk in self._tails[pid].chunks]
        chunks.sort(key=lambda chunk: chunk.at)
        found: deque[Chunk] = deque(maxlen=count)
        for chunk in chunks:
            parts = chunk.split()
            found.extend(
                Chunk(chunk.watcher, chunk.pid, chunk.wid, chunk.which, part + b"\n", chunk.at)
                for part in parts
            )
        return list(found)

    def follow(self, name: str, follower: Follower) -> Callable[[], None]:
        """Call `follower` with everything that the watcher writes, until the returned function is called."""
        self._followers.setdefault(name, []).append(follower)

        def unfollow() -> None:
            if follower in self._followers.get(name, ()):
                self._followers[name].remove(follower)

        return unfollow

    def end(self, timeout: float = 5.0) -> bool:
        """Write what waits, for at most `timeout` seconds; return whether that was all."""
        for name in list(self._outlets):
            self.close(name)
        with self._wake:
            self._ending.set()
            self._wake.notify()
        if self._thread is not None:
            self._thread.join(timeout)
        return self._thread is None or not self._thread.is_alive()

    def _put(self, work: tuple[_Outlet, Chunk] | _Outlet) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_all, name="outputs", daemon=True)
            self._thread.start()
        with self._wake:
            self._queue.append(work)
            if self._asleep:
                self._asleep = False
                self._wake.notify()

    # ---- the writer's thread

    def _write_all(self) -> None:
        while True:
            self._await_work()
            with self._wake:
                if not self._queue:
                    return
                work = self._queue.popleft()
                dropped, self._dropped = self._dropped, {}
                if isinstance(work, tuple):
                    self._waiting -= len(work[1].lines)
            for name, lines in dropped.items():
                self._complain(
                    name, f"{lines} lines were dropped: they came faster than they could be written"
                )
            if isinstance(work, tuple):
                self._write(*work)
            else:
                for sink in work.sinks.values():
                    sink.close()

    def _await_work(self) -> None:
        """Return when there is something in the queue, or when there never will be again."""
        with self._wake:
            if self._queue or self._ending.is_set():
                return
            self._asleep = True
            self._wake.wait_for(lambda: self._queue or self._ending.is_set())
        self._ending.wait(_GATHER)

    def _write(self, outlet: _Outlet, chunk: Chunk) -> None:
        try:
            outlet.sinks[chunk.which].write(chunk)
        except OSError as error:  # a full disk, a lost folder: told once, tried again with each line
            if chunk.which not in outlet.failing:
                outlet.failing.add(chunk.which)
                self._complain(chunk.watcher, f"{chunk.which} cannot be written: {error}")
        else:
            outlet.failing.discard(chunk.which)
