# Sampler of the threads of this process: their stacks, looked at fifty times a second.
#
# Rule 1: it counts wall-clock time: a thread that waits is seen as well as one that computes, and its
# innermost frame tells which it is. Rule 2: what was seen is told once a second, and forgotten then, so that
# it stays small, and little is lost when this process ends.

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from time import monotonic
from types import CodeType, FrameType

from bigtop.ipc.reports import Sampled, Samples
from bigtop.workers.inspection import Writer, thread_names

PERIOD = 0.02  # seconds
_TOLD_EVERY = 1.0
_DEEPEST = 100  # frames; of deeper stacks the outermost
_LONGEST = 3000  # characters of a stack


class Sampler:
    """Tells `write`; `main` and `me` are the idents of the main thread and of the one that samples."""

    def __init__(self, write: Writer, main: int, me: int) -> None:
        self._write = write
        self._main = main
        self._me = me
        self._counts: Counter[str] = Counter()
        self._looks = 0
        self._labels: dict[int, tuple[CodeType, str]] = {}  # by id, which lasts as long as the code is held

    def run(self, sleep: Callable[[float], None], until: Callable[[], float]) -> None:
        """Look and tell until it is `until()`, in monotonic seconds, which may be put off meanwhile."""
        told = monotonic()
        while (now := monotonic()) < until():
            if now - told >= _TOLD_EVERY:
                self._tell()
                told = now
            self._look()
            sleep(max(0.0, PERIOD - (monotonic() - now)))
        self._tell()

    def _look(self) -> None:
        names = thread_names(self._main)
        for ident, frame in sys._current_frames().items():
            if ident != self._me:
                name = names.get(ident, ("", 0))[0] or f"thread {ident}"
                stack = ";".join([name.replace(";", ","), *self._outermost_first(frame)])
                self._counts[stack[:_LONGEST]] += 1
        self._looks += 1

    def _outermost_first(self, frame: FrameType | None) -> list[str]:
        """Return what names each frame."""
        found = []
        while frame is not None:
            code = frame.f_code
            if id(code) not in self._labels:
                module = frame.f_globals.get("__name__")
                name = f"{module}.{code.co_qualname}" if type(module) is str else code.co_qualname
                self._labels[id(code)] = code, name.replace(";", ",")
            found.append(self._labels[id(code)][1])
            frame = frame.f_back
        return found[::-1][:_DEEPEST]

    def _tell(self) -> None:
        for stack, count in self._counts.items():
            self._write(Samples(count, stack))
        self._write(Sampled(self._looks))
        self._write.flush()
        self._counts.clear()
        self._looks = 0
