# Table of `bigtop top` without Textual, drawn anew each second. q ends; s, S and i sort.
#
# Rules: what was on the terminal is there again at the end, however it ends. A screen is one write.

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Generic, Protocol, Self, TypeVar

from bigtop.system import terminal
from bigtop.top import ansi, screen
from bigtop.top.model import words
from bigtop.top.model.rows import View
from bigtop.top.places import Place
from bigtop.top.screen import Line, Span
from bigtop.top.watch import clock
from bigtop.top.watching import Watching

_EVERY: Final = 1.0  # seconds
_BEGIN: Final = "\033[?1049h\033[?25l"  # another screen, no cursor
_END: Final = "\033[?25h\033[?1049l"
_HOME: Final = "\033[H"
_REST_OF_LINE, _REST_OF_SCREEN = "\033[K", "\033[J"
KEYS: Final = "q quit   s S sort by the next, previous column   i turn round"


class Looks(Protocol):
    """How somebody looks at what is drawn."""

    def by_neighbour(self, step: int, /) -> Self: ...
    def turn(self) -> Self: ...


L = TypeVar("L", bound=Looks)
Draw = Callable[[L, tuple[int, int]], list[Line]]  # in so many places and lines


async def run(places: Sequence[Place], view: View) -> int:
    """Show the table until somebody ends it; return the exit status."""
    async with Watching(places) as watching:

        def draw(view: View, size: tuple[int, int]) -> list[Line]:
            return screen.whole(watching.nodes, view, size, clock())

        await until_ended(draw, view, watching.check)
    return 0


async def until_ended(draw: Draw[L], view: L, check: Callable[[], object]) -> None:
    """Show what `draw` returns until somebody ends it, or `check` raises."""
    with _taken_over():
        await _Table(draw, view, check).run()


class _Table(Generic[L]):
    """Event loop only."""

    def __init__(self, draw: Draw[L], view: L, check: Callable[[], object]) -> None:
        self._lines, self._check = draw, check
        self._view = view
        self._over = False
        self._touched = asyncio.Event()
        self._paint = ansi.painter(is_coloured=terminal.shows_colours(sys.stdout.fileno()))

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(sys.stdin.fileno(), self._read)
        loop.add_signal_handler(signal.SIGWINCH, self._touched.set)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._end)
        try:
            while not self._over:
                self._draw()
                self._touched.clear()
                try:
                    await asyncio.wait_for(self._touched.wait(), _EVERY)
                except TimeoutError:
                    self._check()
        finally:
            loop.remove_reader(sys.stdin.fileno())

    def _end(self) -> None:
        self._over = True
        self._touched.set()

    def _read(self) -> None:
        keys = os.read(sys.stdin.fileno(), 1024)
        if not keys:  # the terminal is gone
            self._end()
        for key in keys.decode("ascii", "replace"):
            self._press(key)

    def _press(self, key: str) -> None:
        match key:
            case "q" | "\x03" | "\x04":
                self._over = True
            case "s" | ">":
                self._view = self._view.by_neighbour(1)
            case "S" | "<":
                self._view = self._view.by_neighbour(-1)
            case "i":
                self._view = self._view.turn()
        self._touched.set()

    def _draw(self) -> None:
        width, height = os.get_terminal_size(sys.stdout.fileno())  # as it is now, whatever $COLUMNS says
        lines = self._lines(self._view, (width, height - 1))
        lines += [(Span(" " * width),)] * (height - 1 - len(lines))
        lines.append((Span(words.fitted(KEYS, width), screen.DIM),))
        text = "\r\n".join(self._paint(line) + _REST_OF_LINE for line in lines)
        sys.stdout.write(_HOME + text + _REST_OF_SCREEN)
        sys.stdout.flush()


@contextmanager
def _taken_over() -> Iterator[None]:
    """Have the terminal tell each key at once, and show another screen meanwhile."""
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin.fileno())
    sys.stdout.write(_BEGIN)
    try:
        yield
    finally:
        sys.stdout.write(_END)
        sys.stdout.flush()
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
