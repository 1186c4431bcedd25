# Writer of all outputs, on their way from the event loop to where they belong.
#
# Rules: the loop only puts lines into queues of bounded size, one for each place that is written to
# (queues.py); one thread takes them out and writes. A reader that is slow, or missing, therefore costs lines
# of its own, which are counted and told, and never those of others or the supervision of anything. The last
# lines of each process are kept for `tail`, and whoever follows is told of each new one.

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from bigtop.record import replace
from bigtop.supervisor.policy.spec import WatcherSpec
from bigtop.supervisor.streams import sinks
from bigtop.supervisor.streams.formats import Chunk
from bigtop.supervisor.streams.queues import ROOM, Queues

KEPT_BYTES = 32 << 10
_FORGET = 1000  # processes whose last lines are kept

Follower = Callable[[Chunk], None]


class OutputTail:
    """The last lines of one process, as many as fit into KEPT_BYTES."""

    def __init__(self) -> None:
        self.chunks: deque[Chunk] = deque()
        self._size = 0

    def add(self, chunk: Chunk) -> None:
        last = self.chunks[-1] if self.chunks else None
        if last is not None and last.which == chunk.which and not last.is_finished:  # its line goes on
            self._size -= len(self.chunks.pop().lines)
            chunk = replace(chunk, lines=last.lines + chunk.lines)
        if len(chunk.lines) > KEPT_BYTES:
            _cut, _newline, rest = chunk.lines[-KEPT_BYTES:].partition(b"\n")
            chunk = replace(chunk, lines=rest or chunk.lines[-KEPT_BYTES:])
        self.chunks.append(chunk)
        self._size += len(chunk.lines)
        while self._size > KEPT_BYTES:
            self._size -= len(self.chunks.popleft().lines)


class Outputs:
    """The outputs of all watchers. Event loop only.

    `complain` is called in the thread that writes: with a watcher's name and what is wrong. `prefix`: what
    has no stream of its own gets the watcher's name in front.
    """

    def __init__(
        self, complain: Callable[[str, str], None], room: int = ROOM, *, prefix: bool = False
    ) -> None:
        self._prefix = prefix
        self._queues = Queues(complain, room)
        self._sinks: dict[str, dict[str, sinks.Sink]] = {}  # by watcher, then by "stdout" and "stderr"
        self._tails: dict[int, OutputTail] = {}  # by pid, oldest process first
        self._followers: dict[str, list[Follower]] = {}  # by watcher

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many lines there was no room for, so far, by watcher."""
        return self._queues.dropped

    # ---- which there are

    def open(self, spec: WatcherSpec) -> None:
        """Make the sinks of a watcher, in place of those it had; ConfigError if that cannot be."""
        made = sinks.make_all(spec, prefix=self._prefix)
        self.close(spec.name)
        self._sinks[spec.name] = made

    def close(self, name: str) -> None:
        """Close the sinks of a watcher when all that is on its way was written."""
        self._close(self._sinks.pop(name, {}))

    def reopen(self) -> None:
        """Have every file opened anew, once what is on its way was written: somebody moved them."""
        for made in self._sinks.values():
            self._close(made)

    def _close(self, made: dict[str, sinks.Sink]) -> None:
        for sink in {id(sink): sink for sink in made.values()}.values():
            self._queues.close(sink)

    def forget(self, name: str) -> None:
        """The watcher is gone, and with it whoever followed it."""
        self.close(name)
        self._followers.pop(name, None)

    def lose(self, pid: int) -> None:
        """A process is gone, and nobody can ask for its last lines any more."""
        self._tails.pop(pid, None)

    def sink(self, name: str, which: str) -> sinks.Sink | None:
        return self._sinks.get(name, {}).get(which)

    # ---- what is written

    def take(self, name: str, pid: int, wid: int, which: str, lines: bytes) -> None:
        """Pass on what one process wrote."""
        chunk = Chunk(name, pid, wid, which, lines, time.time())
        if pid not in self._tails:
            if len(self._tails) >= _FORGET:
                del self._tails[next(iter(self._tails))]
            self._tails[pid] = OutputTail()
        self._tails[pid].add(chunk)
        for follower in list(self._followers.get(name, ())):
            follower(chunk)
        sink = self.sink(name, which)
        if sink is not None:
            self._queues.put(sink, chunk)

    def tail(self, pids: Iterable[int], count: int = 200) -> list[Chunk]:
        """Return the last lines of these processes together, oldest first, one line each."""
        chunks = [chunk for pid in pids if pid in self._tails for chunk in self._tails[pid].chunks]
        chunks.sort(key=lambda chunk: chunk.at)
        found: deque[Chunk] = deque(maxlen=count)
        for chunk in chunks:
            parts = chunk.split()
            found.extend(replace(chunk, lines=part + b"\n") for part in parts)
        return list(found)

    def follow(self, name: str, follower: Follower) -> Callable[[], None]:
        """Call `follower` with everything that the watcher writes, until the returned function is called."""
        self._followers.setdefault(name, []).append(follower)

        def unfollow() -> None:
            if follower in self._followers.get(name, ()):
                self._followers[name].remove(follower)

        return unfollow

    # ---- another supervisor goes on with them

    def drain(self, seconds: float) -> str:
        """Wait, with all of this process, until everything was written; return whose output nobody takes."""
        return self._queues.drain(seconds)

    def held(self, pids: Iterable[int]) -> dict[int, tuple[Chunk, ...]]:
        """Return the last lines of these."""
        return {pid: tuple(self._tails[pid].chunks) for pid in pids if pid in self._tails}

    def resume(self, tails: Mapping[int, Iterable[Chunk]]) -> None:
        """Know what another one knew."""
        for pid, chunks in tails.items():
            self._tails[pid] = OutputTail()
            for chunk in chunks:
                self._tails[pid].add(chunk)

    def end(self, timeout: float = 3.0) -> bool:
        """Write what waits, for at most `timeout` seconds; return whether that was all. The rest is told."""
        for name in list(self._sinks):
            self.close(name)
        return self._queues.end(timeout)
