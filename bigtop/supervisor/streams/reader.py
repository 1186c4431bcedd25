# What children write to their standard error, line by line.
#
# Rules: only whole lines are passed on, so that the words of two processes never mix within one; the last
# lines are kept, to be shown when the process dies. Reading never blocks the loop and is bounded per turn.

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable

_READ = 65536
_LONGEST_LINE = 65536
_AT_MOST = 16
KEPT_LINES = 20


class LineReader:
    """Reads a pipe to its end. `sink` is called with one or more whole lines as bytes, newline included."""

    def __init__(self, fd: int, sink: Callable[[bytes], None]) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._sink = sink
        self._rest = b""
        self.last: deque[str] = deque(maxlen=KEPT_LINES)
        asyncio.get_running_loop().add_reader(fd, self._readable)

    def _readable(self) -> None:
        self._read()

    def _read(self) -> bool:
        try:
            data = os.read(self._fd, _READ)
        except BlockingIOError:
            return False
        if not data:
            self.close()
            return False
        whole, newline, rest = (self._rest + data).rpartition(b"\n")
        if len(rest) > _LONGEST_LINE:  # a writer that never ends its line is cut rather than collected
            whole, newline, rest = whole + newline + rest, b"\n", b""
        self._rest = rest
        if newline:
            self._pass_on(whole + b"\n")
        return True

    def _pass_on(self, lines: bytes) -> None:
        self.last.extend(lines.decode("utf-8", "replace").splitlines()[-KEPT_LINES:])
        self._sink(lines)

    def catch_up(self) -> None:
        """Read what waits in the pipe: the last words of a process whose death was noticed first."""
        for _ in range(_AT_MOST):  # a grandchild may hold the pipe and write for ever
            if self._fd < 0 or not self._read():
                return

    def close(self) -> None:
        """Stop reading; an unfinished last line is passed on."""
        if self._fd < 0:
            return
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1
        if self._rest:
            self._pass_on(self._rest + b"\n")
            self._rest = b""
