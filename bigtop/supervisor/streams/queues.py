# Queues of what waits to be written, each with the thread that writes it.
#
# Rules: what is written to one place waits in one queue of bounded size, and places never wait for each
# other: the thread writes to each what it takes at once, then asks the system (poll(2)) which take more. Only
# a disk makes it wait. What a full queue has no room for is dropped, counted, and told at most once per
# period; what is left at the end is told as well.

from __future__ import annotations

import os
import select
import threading
import time
from collections import Counter, deque
from collections.abc import Callable

from bigtop.record import Record, field
from bigtop.supervisor.streams.flows import Flow
from bigtop.supervisor.streams.formats import Chunk
from bigtop.supervisor.streams.sinks import Sink

ROOM = 4 << 20  # bytes that may wait for one place
_GATHER = 0.01  # seconds that lines may wait for others: two threads that wake each other by turns are slow
_PERIOD = 10.0  # seconds between two words about the same queue
_LOOK = 0.002  # seconds
_AT_ONCE = 64  # pieces, before other places get a turn


class _Queue(Record, frozen=False, eq=False):
    """What waits for one place; a sink without a chunk is to be closed."""

    work: deque[tuple[Sink, Chunk | None]] = field(default_factory=deque)
    size: int = 0
    is_ready: bool = False  # it is in the list of those that the thread looks at, or in its hands
    dropped: Counter[str] = field(default_factory=Counter)  # lines, by watcher
    tell_at: float = 0.0
    stuck: Flow | None = None
    watcher: str = ""  # whose lines were written last
    failing: set[tuple[str, str]] = field(default_factory=set)

    def fail(self, watcher: str, which: str, error: OSError, complain: Callable[[str, str], None]) -> None:
        """Tell it once; it is tried again with each line."""
        if (watcher, which) not in self.failing:
            self.failing.add((watcher, which))
            complain(watcher, f"{which} cannot be written: {error}")

    @property
    def lines_left(self) -> int:
        waiting = sum(_lines(chunk) for _, chunk in self.work if chunk is not None)
        return waiting + (self.stuck.lines_left if self.stuck is not None else 0)


class Queues:
    """put(), close() and end() are for the event loop; `complain` is called in the thread."""

    def __init__(self, complain: Callable[[str, str], None], room: int) -> None:
        self.dropped: Counter[str] = Counter()  # lines so far, by watcher
        self._complain = complain
        self._room = room
        self._queues: dict[int, tuple[object, _Queue]] = {}  # by the identity of what is written to
        self._lock = threading.Lock()
        self._ready: deque[_Queue] = deque()
        self._asleep = False
        self._ending = threading.Event()
        self._end_by = 0.0
        self._thread: threading.Thread | None = None
        self._wake = -1

    # ---- the event loop's side

    def put(self, sink: Sink, chunk: Chunk) -> None:
        size = len(chunk.lines)
        with self._lock:
            queue = self._queue(sink)
            if queue.size and queue.size + size > self._room:
                is_news = not queue.dropped
                queue.dropped[chunk.watcher] += (lines := _lines(chunk))
                self.dropped[chunk.watcher] += lines
            else:
                is_news = queue.stuck is None  # else the thread waits for its reader
                queue.size += size
                queue.work.append((sink, chunk))
            if is_news:
                self._notify(queue)

    def close(self, sink: Sink) -> None:
        with self._lock:
            if id(sink.target) in self._queues:  # else nothing was ever written
                queue = self._queue(sink)
                if not queue.work or queue.work[-1] != (sink, None):
                    queue.work.append((sink, None))
                if queue.stuck is None:
                    self._notify(queue)

    def drain(self, seconds: float) -> str:
        """Wait until the thread has written everything; return the watcher whose lines it cannot write."""
        until = time.monotonic() + seconds
        while (left := self._left()) is not None:
            if time.monotonic() > until:
                return left
            time.sleep(_LOOK)
        return ""

    def _left(self) -> str | None:
        with self._lock:
            for _, queue in self._queues.values():
                if queue.work or queue.is_ready or queue.stuck is not None:
                    waiting = (chunk.watcher for _, chunk in queue.work if chunk is not None)
                    return queue.watcher or next(waiting, "")
        return None

    def end(self, timeout: float) -> bool:
        """Write what waits, for at most `timeout` seconds; return whether that was all."""
        if self._thread is None:
            return True
        self._end_by = time.monotonic() + timeout
        self._ending.set()
        os.eventfd_write(self._wake, 1)
        self._thread.join(timeout + 1.0)
        if self._thread.is_alive():  # it waits for a disk
            self._tell_lost()
            return False
        os.close(self._wake)
        self._thread = None
        return not any(queue.lines_left for _, queue in self._queues.values())

    def _queue(self, sink: Sink) -> _Queue:
        # The object is kept beside its queue, so that no other one can have its identity.
        return self._queues.setdefault(id(sink.target), (sink.target, _Queue()))[1]

    def _notify(self, queue: _Queue) -> None:
        if self._thread is None:
            self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._thread = threading.Thread(target=self._write_all, name="outputs", daemon=True)
            self._thread.start()
        if not queue.is_ready:
            queue.is_ready = True
            self._ready.append(queue)
            if self._asleep:
                self._asleep = False
                os.eventfd_write(self._wake, 1)

    # ---- the thread's side

    def _write_all(self) -> None:
        while self._await_work():
            with self._lock:
                ready = list(self._ready)
                self._ready.clear()
            for queue in ready:
                self._advance(queue)
        self._tell_lost()
        for _, queue in self._queues.values():
            for sink, chunk in queue.work:
                if chunk is None:
                    sink.close()

    def _await_work(self) -> bool:
        """Return when a queue has work that can be done, with False when there is none any more."""
        with self._lock:
            if self._ready:
                return True
            waiting = [
                queue for _, queue in self._queues.values() if queue.stuck is not None or queue.dropped
            ]
            self._asleep = True
        if self._ending.is_set() and (not waiting or time.monotonic() >= self._end_by):
            return False
        self._sleep(waiting)
        if not self._ending.is_set():
            self._ending.wait(_GATHER)
        return True

    def _sleep(self, waiting: list[_Queue]) -> None:
        """Wait for the event loop, for those who did not take everything, and for the time to tell of it."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        for queue in waiting:
            if queue.stuck is not None:
                poll.register(queue.stuck.fileno(), select.POLLOUT)
        times = [queue.tell_at for queue in waiting if queue.dropped]
        times += [self._end_by] if self._ending.is_set() else []
        left = max(0.0, min(times) - time.monotonic()) * 1000 + 1 if times else None
        found = {fd for fd, _ in poll.poll(left)}
        if self._wake in found:
            os.eventfd_read(self._wake)
        now = time.monotonic()
        with self._lock:
            self._asleep = False
            for queue in waiting:
                is_late = bool(queue.dropped) and queue.tell_at <= now
                if (is_late or (queue.stuck and queue.stuck.fileno() in found)) and not queue.is_ready:
                    queue.is_ready = True
                    self._ready.append(queue)

    def _advance(self, queue: _Queue) -> None:
        """Write what is taken at once, and tell what was dropped."""
        self._tell_dropped(queue)
        if queue.stuck is not None and not self._flush(queue):
            return
        for _ in range(_AT_ONCE):
            with self._lock:
                if not queue.work:
                    queue.is_ready = False
                    return
                sink, chunk = queue.work.popleft()
                if chunk is not None:
                    queue.size -= len(chunk.lines)
            queue.watcher = queue.watcher if chunk is None else chunk.watcher
            if chunk is None:
                self._close(queue, sink)
            elif not self._write(queue, sink, chunk):
                return
        with self._lock:
            self._ready.append(queue)

    def _flush(self, queue: _Queue) -> bool:
        """Go on with the rest; return whether all of it was taken."""
        assert queue.stuck is not None
        try:
            queue.stuck.flush()
        except OSError as error:
            queue.fail(queue.watcher, "output", error, self._complain)
        return self._is_free(queue, queue.stuck)

    def _write(self, queue: _Queue, sink: Sink, chunk: Chunk) -> bool:
        try:
            sink.write(chunk)
        except OSError as error:  # a full disk, a lost folder, a reader that went
            queue.fail(chunk.watcher, chunk.which, error, self._complain)
            return True
        queue.failing.discard((chunk.watcher, chunk.which))
        return self._is_free(queue, sink.flow)

    def _close(self, queue: _Queue, sink: Sink) -> None:
        sink.close()
        with self._lock:
            if not queue.work:  # the next line begins a new one
                self._queues.pop(id(sink.target), None)

    def _tell_dropped(self, queue: _Queue) -> None:
        if not queue.dropped or (time.monotonic() < queue.tell_at and not self._ending.is_set()):
            return
        queue.tell_at = time.monotonic() + _PERIOD
        with self._lock:
            dropped, queue.dropped = queue.dropped, Counter()
        for name, lines in dropped.items():
            self._complain(name, f"{lines} lines were dropped: they came faster than they could be written")

    def _tell_lost(self) -> None:
        """Tell what was not written, at the end."""
        with self._lock:
            left = [queue for _, queue in self._queues.values() if queue.lines_left or queue.dropped]
        for queue in left:
            self._tell_dropped(queue)
            if not queue.lines_left:
                continue
            name = queue.watcher or next((chunk.watcher for _, chunk in queue.work if chunk is not None), "")
            self._complain(name, f"{queue.lines_left} lines are lost: nobody took them before the end")

    def _is_free(self, queue: _Queue, flow: Flow | None) -> bool:
        queue.stuck = flow if flow is not None and flow.is_stuck else None
        if queue.stuck is not None:
            with self._lock:
                queue.is_ready = False
        return queue.stuck is None


def _lines(chunk: Chunk) -> int:
    return chunk.lines.count(b"\n") + (not chunk.is_finished)
