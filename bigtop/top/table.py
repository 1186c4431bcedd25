# Table as a widget of Textual: lines of screen.py, one of them chosen.
#
# Rule: only lines that are seen are made, so a thousand processes cost no more than those on the screen.

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from bigtop.top import screen
from bigtop.top.model.rows import Key, Row, Shown
from bigtop.top.screen import Line

_STYLES: Final = {
    screen.PLAIN: Style(),
    screen.DIM: Style(dim=True),
    screen.BOLD: Style(bold=True),
    screen.GOOD: Style(color="green"),
    screen.WARN: Style(color="yellow"),
    screen.BAD: Style(color="red", bold=True),
}
_CHOSEN: Final = Style(reverse=True)


def strip_of(line: Line, *, is_chosen: bool = False) -> Strip:
    style = _CHOSEN if is_chosen else Style()
    return Strip([Segment(span.text, _STYLES[span.style] + style) for span in line])


class Table(ScrollView, can_focus=True):
    """Shows rows; the chosen one stays chosen while others come and go."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "move(-1000000)", show=False),
        Binding("end", "move(1000000)", show=False),
        Binding("enter", "enter", show=False),
    ]

    class Entered(Message):
        """Somebody wants to see what is in a row."""

        def __init__(self, shown: Shown) -> None:
            super().__init__()
            self.shown = shown

    def __init__(self) -> None:
        super().__init__()
        self.shown: Sequence[Shown] = ()
        self._at = 0
        self._key: Key = ()

    @property
    def chosen(self) -> Row | None:
        return self.shown[self._at].row if self.shown else None

    @property
    def line_width(self) -> int:
        """That of what is above it, too: a bar to scroll by takes a place of both."""
        return self.size.width or self.app.size.width

    def show(self, shown: Sequence[Shown]) -> None:
        """Take other rows."""
        self.shown = shown
        places = {one.row.key: at for at, one in enumerate(shown)}
        # Where the chosen one is gone, what it was below is: a key never acts on a stranger.
        while self._key and self._key not in places:
            self._key = self._key[:-1]
        self._at = places.get(self._key, 0)
        if shown:
            self._key = shown[self._at].row.key
        self.virtual_size = Size(self.size.width, len(shown))
        self.refresh()

    def choose(self, at: int) -> None:
        if not self.shown:
            return
        self._at = max(0, min(at, len(self.shown) - 1))
        self._key = self.shown[self._at].row.key
        self.scroll_to_region(Region(0, self._at, 1, 1), animate=False)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        at = self.scroll_offset.y + y
        if at >= len(self.shown):
            return Strip.blank(self.size.width)
        line = screen.table_line(self.shown[at], self.size.width)
        return strip_of(line, is_chosen=at == self._at and self.has_focus)

    def action_move(self, step: int) -> None:
        self.choose(self._at + step)

    def action_page(self, step: int) -> None:
        self.choose(self._at + step * max(1, self.size.height - 1))

    def action_enter(self) -> None:
        if self.shown:
            self.post_message(self.Entered(self.shown[self._at]))

    def on_click(self, click: events.Click) -> None:
        at = self.scroll_offset.y + click.y
        if at < len(self.shown):
            is_second = at == self._at
            self.choose(at)
            if is_second:
                self.action_enter()
