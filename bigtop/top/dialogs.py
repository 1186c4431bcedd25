# Windows over the table of Textual: a text, a log that goes on, a question.

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import ClassVar, Final

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Label, Log, Static

from bigtop.errors import BigtopError
from bigtop.top.words import cleaned

_CLOSE: Final[list[BindingType]] = [
    Binding("escape,q", "dismiss", show=False),
]


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
            yield Log(auto_scroll=self._follows)

    def on_mount(self) -> None:
        self.query_one(Log).focus()
        self._fill()

    @work
    async def _fill(self) -> None:
        log = self.query_one(Log)
        try:
            async for text in self._lines():
                for line in text.splitlines() or [""]:
                    log.write_line(cleaned(line))
        except BigtopError as error:
            log.write_line(f"bigtop: {error}")


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
