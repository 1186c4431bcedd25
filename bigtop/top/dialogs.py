# Windows over the table of Textual: a text, a log that goes on, a question.

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.geometry import Size
from textual.screen import ModalScreen
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Label, Static

from bigtop.errors import BigtopError
from bigtop.top.model.words import cells, cleaned

_CLOSE: Final[list[BindingType]] = [
    Binding("escape,q", "dismiss", show=False),
]


class Page(ScrollView, can_focus=True):
    """Lines, of which the last are seen if it `follows`.

    Textual's own Log measures each line in a thread, and brings the program down if it is closed meanwhile.
    """

    def __init__(self, *, follows: bool) -> None:
        super().__init__()
        self._follows = follows
        self._texts: list[str] = []
        self._widest = 0

    def write(self, text: str) -> None:
        self._texts.append(text)
        self._widest = max(self._widest, cells(text))
        self.virtual_size = Size(self._widest, len(self._texts))
        if self._follows:
            self.scroll_end(animate=False)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        left, top = self.scroll_offset
        text = self._texts[top + y] if top + y < len(self._texts) else ""
        return Strip([Segment(text)]).crop_extend(left, left + self.size.width, Style())


class Text(ModalScreen[None]):
    """Shows a title, and lines as they come; ends with q or escape."""

    BINDINGS: ClassVar[list[BindingType]] = _CLOSE

    def __init__(self, title: str, lines: Callable[[], AsyncIterator[str]], *, follows: bool = False) -> None:
        super().__init__()
        self._follows = follows  # the end is seen, else the beginning
        self._title = title
        self._lines = lines

    def compose(self) -> ComposeResult:
        with Vertical(classes="page"):
            yield Static(f"{cleaned(self._title)}   (q closes)", classes="title", markup=False)
            yield Page(follows=self._follows)

    def on_mount(self) -> None:
        self.query_one(Page).focus()
        self._fill()

    @work
    async def _fill(self) -> None:
        page = self.query_one(Page)
        try:
            async for text in self._lines():
                for line in text.splitlines() or [""]:
                    page.write(cleaned(line))
        except BigtopError as error:
            page.write(f"bigtop: {error}")


class Question(ModalScreen[bool]):
    """Asks, and ends with whether the answer is y."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", show=False),
        Binding("n,escape,q,enter", "answer(False)", show=False),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        with Vertical(classes="question"):
            yield Label(cleaned(self._question), markup=False)
            yield Label("y: yes   any of n, enter, escape: no", markup=False)

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)
