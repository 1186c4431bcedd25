# Reader of what children write to their standard output and error, line by line.
#
# Rules: whole lines are passed on, so that the words of two processes never mix within one. What is
# unfinished after a second, or has become long, is passed on as it is, with nothing inserted. The last lines
# are kept, to be shown when the process dies. Reading never blocks the loop and is bounded per turn.
#
# Processes write line by line, and to wake up for each line is what costs: after each look there is a rest in
# which lines gather, so the first line is read at once and those that follow it together.

from __future__ import annotations

import asyncio
import os
import select
from collections import deque
from collections.abc import Callable
from typing import ClassVar
from weakref import WeakKeyDictionary

from bigtop.ipc.snapshot import Descriptor
from bigtop.record import Record

_READ = 65536
_LONGEST_LINE = 65536  # that is waited for, and that is kept of each of the last lines
_PATIENCE = 1.0  # seconds that a line may take: a prompt or a progress bar has no end
_AT_MOST = 16
_REST = 0.05  # seconds
_PIPES_AT_ONCE = 32  # before everybody else on the loop gets a turn
_FLOOD = 16384  # bytes in one pipe after which there is no rest: it would soon be full, and its writer wait
KEPT_LINES = 20


class _Pipes:
    """All pipes that one event loop reads, in an epoll(7) of their own that the loop can leave alone."""

    _by_loop: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, _Pipes]] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reads: dict[int, Callable[[], int]] = {}
        self._epoll: select.epoll | None = None
        self._resting: asyncio.TimerHandle | None = None
        self._is_held = False

    @classmethod
    def here(cls) -> _Pipes:
        return cls._by_loop.setdefault(asyncio.get_running_loop(), cls())

    def add(self, fd: int, read: Callable[[], int]) -> None:
        """Call `read` when there is something; it returns how many bytes that was."""
        if self._epoll is None:
            self._epoll = select.epoll()
            self._listen()
        self._epoll.register(fd, select.EPOLLIN)
        self._reads[fd] = read

    def remove(self, fd: int) -> None:
        assert self._epoll is not None
        del self._reads[fd]
        self._epoll.unregister(fd)
        if not self._reads:
            self._leave_alone()
            self._epoll.close()
            self._epoll = None

    def hold(self) -> None:
        if self._epoll is not None and not self._is_held:
            self._leave_alone()
        self._is_held = True

    def release(self) -> None:
        if self._epoll is not None and self._is_held:
            self._is_held = False
            self._listen()
        self._is_held = False

    def _listen(self) -> None:
        assert self._epoll is not None
        self._resting = None
        if self._is_held:
            return
        self._loop.add_reader(self._epoll.fileno(), self._look)

    def _leave_alone(self) -> None:
        assert self._epoll is not None
        self._loop.remove_reader(self._epoll.fileno())
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None

    def _look(self) -> None:
        assert self._epoll is not None
        ready = [fd for fd, _ in self._epoll.poll(0, _PIPES_AT_ONCE)]
        most = max((self._reads[fd]() for fd in ready if fd in self._reads), default=0)
        if self._epoll is not None and len(ready) < _PIPES_AT_ONCE and most < _FLOOD:
            self._leave_alone()
            self._resting = self._loop.call_later(_REST, self._listen)


def hold_back() -> Callable[[], None]:
    """Leave what children write in their pipes until what is returned is called. Event loop only."""
    pipes = _Pipes.here()
    pipes.hold()
    return pipes.release


class ReaderState(Record):
    """What a reader has in hand."""

    pipe: Descriptor | None  # None: it came to its end
    rest: bytes = b""  # of a line that is not whole
    last: tuple[str, ...] = ()
    is_open: bool = False


class LineReader:
    """Reads a pipe to its end. `sink` is called with bytes: whole lines, or a part of one that took long."""

    def __init__(self, fd: int, sink: Callable[[bytes], None]) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._sink = sink
        self._rest = b""
        self._waiting: asyncio.TimerHandle | None = None  # for the end of a line
        self._is_open = False  # the last line that was passed on
        self.last: deque[str] = deque(maxlen=KEPT_LINES)
        self._pipes = _Pipes.here()
        self._pipes.add(fd, self._read)

    def held(self) -> ReaderState:
        """Return what another reader can go on from."""
        pipe = None if self._fd < 0 else Descriptor(self._fd)
        return ReaderState(pipe, self._rest, tuple(self.last), self._is_open)

    @classmethod
    def resumed(cls, state: ReaderState, sink: Callable[[bytes], None]) -> LineReader:
        """Return a reader that goes on from what another one had in hand."""
        reader = cls(_nothing() if state.pipe is None else state.pipe.number, sink)
        reader._rest, reader._is_open = state.rest, state.is_open
        reader.last.extend(state.last)
        if reader._rest:
            reader._waiting = asyncio.get_running_loop().call_later(_PATIENCE, reader._waited)
        return reader

    def _read(self) -> int:
        """Read once; return how many bytes there were."""
        try:
            data = os.read(self._fd, _READ)
        except BlockingIOError:
            return 0
        if not data:
            self.close()
            return 0
        whole, newline, rest = (self._rest + data).rpartition(b"\n")
        if newline:
            self._stop_waiting()
            self._pass_on(whole + newline)
        self._rest = rest
        if len(rest) > _LONGEST_LINE:
            self._pass_rest(_between_characters(rest))
        if self._rest and self._waiting is None:
            self._waiting = asyncio.get_running_loop().call_later(_PATIENCE, self._waited)
        return len(data)

    def _waited(self) -> None:
        self._waiting = None
        # A part of a character is waited for once more; what comes to nothing then, was none.
        self._pass_rest(_between_characters(self._rest) or len(self._rest))
        if self._rest:
            self._waiting = asyncio.get_running_loop().call_later(_PATIENCE, self._waited)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _pass_rest(self, size: int) -> None:
        part, self._rest = self._rest[:size], self._rest[size:]
        if part:
            self._pass_on(part)

    def _pass_on(self, data: bytes) -> None:
        lines = data.decode("utf-8", "replace").splitlines()
        if self._is_open and self.last:
            begun = self.last.pop()
            lines[0] = (begun + lines[0])[:_LONGEST_LINE]
        self.last.extend(lines[-KEPT_LINES:])
        self._is_open = not data.endswith(b"\n")
        self._sink(data)

    def catch_up(self) -> None:
        """Read what waits in the pipe: the last words of a process whose death was noticed first."""
        for _ in range(_AT_MOST):  # a grandchild may hold the pipe and write for ever
            if self._fd < 0 or not self._read():
                return

    def close(self) -> None:
        """Stop reading; an unfinished last line is passed on."""
        if self._fd < 0:
            return
        self._pipes.remove(self._fd)
        os.close(self._fd)
        self._fd = -1
        self._stop_waiting()
        self._pass_rest(len(self._rest))


def _nothing() -> int:
    """Return a pipe at its end."""
    fd, write_end = os.pipe()
    os.close(write_end)
    return fd


def _between_characters(data: bytes) -> int:
    """Return where to cut `data`: at its end, or before a character of UTF-8 that is not whole there."""
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte >= 0xC0:  # the first byte of a character of so many bytes
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) - back if length > back else len(data)
        if byte < 0x80:
            break
    return len(data)
