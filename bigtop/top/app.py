# Program `bigtop top` with Textual: the table with a line that is chosen, and keys that act on it.
#
# Rules: as thin as can be: what is shown comes from rows.py and screen.py, what keys mean from keys.py. It
# draws at most twice a second, and nothing when nothing is new.

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from typing import ClassVar, Final

from textual import events, on, work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input, Static

from bigtop.cli.ctl import ctl_inspect, ctl_show
from bigtop.control.events import topic_word
from bigtop.errors import BigtopError
from bigtop.record import replace
from bigtop.top import screen
from bigtop.top.dialogs import Question, Text
from bigtop.top.model import columns, keys, rows
from bigtop.top.model.keys import Action
from bigtop.top.model.rows import Kind, Row, View
from bigtop.top.places import Place
from bigtop.top.screen import Line
from bigtop.top.table import Table, strip_of
from bigtop.top.watch import Watch, clock
from bigtop.top.watching import Watching

_DRAW_EVERY: Final = 0.5  # seconds
_BELOW: Final = 6  # lines for sockets and events
_TAIL: Final = 200  # lines


class Lines(Widget):
    """Lines as they are; as many as there are."""

    DEFAULT_CSS = "Lines { height: auto; }"

    class Clicked(Message):
        """Somebody points at a place of the last line."""

        def __init__(self, lines: Lines, place: int) -> None:
            super().__init__()
            self.lines = lines
            self.place = place

    def __init__(self) -> None:
        super().__init__()
        self._lines: Sequence[Line] = ()

    def show(self, lines: Sequence[Line]) -> None:
        is_as_high = len(lines) == len(self._lines)
        self._lines = lines
        self.styles.height = len(lines)
        self.refresh(layout=not is_as_high)

    def render_line(self, y: int) -> Strip:
        return strip_of(self._lines[y]) if y < len(self._lines) else Strip.blank(self.size.width)

    def on_click(self, click: events.Click) -> None:
        if click.y == len(self._lines) - 1:
            self.post_message(self.Clicked(self, click.x))


class Filter(Input):
    """The line in which a filter is written; it is seen while that is done."""

    def __init__(self, text: str) -> None:
        super().__init__(text, placeholder="filter")

    def begin(self) -> None:
        self.display = True
        self.screen.set_focus(self)  # at once: focus() lets other keys come first

    @on(Input.Submitted)
    def end(self) -> None:
        self.screen.set_focus(self.screen.query_one(Table))
        self.display = False


class Top(App[int]):
    """Of supervisors at `places`; keys change nothing that runs unless it `operates`."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Table { height: 1fr; scrollbar-size: 1 1; overflow-x: hidden; }
    Filter { dock: bottom; display: none; height: 1; border: none; padding: 0; }
    #footer { height: 1; color: $text-muted; }
    .page { width: 100%; height: 100%; background: $surface; }
    .page .title { height: 1; text-style: bold; }
    Question { align: center middle; }
    .question { width: auto; max-width: 90%; height: auto; padding: 1 2; border: solid $warning; }
    .question Label { max-width: 100%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit"),
        Binding("question_mark", "help"),
        Binding("slash", "filter"),
        Binding("escape", "unfilter"),
        Binding("less_than_sign,left", "sort(-1)"),
        Binding("greater_than_sign,right", "sort(1)"),
        Binding("i", "turn"),
        Binding("l", "logs"),
        Binding("k", "stack"),
        Binding("e", "events"),
        Binding("r", "operate('r')"),
        Binding("plus", "operate('+')"),
        Binding("minus", "operate('-')"),
        Binding("x", "operate('x')"),
    ]

    def __init__(self, places: Sequence[Place], view: View, *, operates: bool) -> None:
        super().__init__()
        self.view = view
        self.operates = operates
        self.head, self.table, self.below = Lines(), Table(), Lines()
        self.filter_line = Filter(view.filter)
        self._new = asyncio.Event()  # there is something that was not drawn yet
        self.watching = Watching(places, self._new.set)

    def compose(self) -> ComposeResult:
        yield self.head
        yield self.table
        yield self.below
        yield Static(keys.footer(operates=self.operates), id="footer", markup=False)
        yield self.filter_line

    async def on_mount(self) -> None:
        self.table.focus()
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self.exit, 0)
        await self.watching.__aenter__()
        self.set_interval(_DRAW_EVERY, self._draw_what_is_new)
        self.draw()

    async def on_unmount(self) -> None:
        await self.watching.__aexit__(None, None, None)

    # ---- drawing

    def _draw_what_is_new(self) -> None:
        self.watching.check()
        if self._new.is_set() or any(node.silence(clock()) > 1 for node in self.watching.nodes):
            self.draw()

    def draw(self) -> None:
        self._new.clear()
        nodes, width = self.watching.nodes, self.size.width
        branches = rows.tree(nodes)
        head = screen.summaries(nodes, branches, width, clock())
        self.table.show(rows.arranged(branches, self.view))
        self.head.show([*head, screen.heading(self.view, self.table.line_width)])
        sockets, happened = screen.socket_lines(nodes, width), screen.event_lines(nodes, width)
        shown = sockets[: _BELOW // 2]
        rest = _BELOW - len(shown)
        self.below.show([*shown, *happened[-rest:]])

    def on_resize(self) -> None:
        self.draw()

    def _look(self, view: View) -> None:
        self.view = view
        self.draw()

    # ---- keys that change how it is looked at

    def action_sort(self, step: int) -> None:
        self._look(self.view.by_neighbour(step))

    def action_turn(self) -> None:
        self._look(replace(self.view, turned=not self.view.turned))

    @on(Lines.Clicked)
    def _point(self, clicked: Lines.Clicked) -> None:
        is_title = clicked.lines is self.head
        word = columns.at(clicked.place, self.table.line_width) if is_title else ""
        if word == self.view.sort:
            self.action_turn()
        elif word:
            self._look(replace(self.view, sort=word, turned=False))

    def action_filter(self) -> None:
        self.filter_line.begin()

    def action_unfilter(self) -> None:
        self.filter_line.clear()
        self.filter_line.end()

    @on(Input.Changed)
    def _filter(self, changed: Input.Changed) -> None:
        self._look(replace(self.view, filter=changed.value))

    @on(Table.Entered)
    def _enter(self, entered: Table.Entered) -> None:
        if entered.shown.is_open is not None:
            self._look(self.view.toggle(entered.shown.row.key))
        elif entered.shown.row.kind is Kind.REQUEST:
            self.action_stack()

    # ---- keys that open something

    def _chosen(self) -> tuple[Row, Watch] | None:
        row = self.table.chosen
        return None if row is None else (row, self.watching.watches[row.key[0]])

    def action_help(self) -> None:
        self.push_screen(Text("keys", lambda: _once(keys.help_text(operates=self.operates))))

    def action_events(self) -> None:
        lines = [screen.text_of(line).rstrip() for line in screen.event_lines(self.watching.nodes, 1000)]
        text = "\n".join(lines) or "nothing has happened since this began"
        self.push_screen(Text("events", lambda: _once(text)))

    def action_stack(self) -> None:
        chosen = self._chosen()
        if chosen is None or not chosen[0].target:
            self._say("choose a worker, a process or a request for that")
            return
        row, watch = chosen
        self.push_screen(Text(f"stack {row.target}", lambda: _stack(watch, row.target)))

    def action_logs(self) -> None:
        chosen = self._chosen()
        if chosen is None or not chosen[0].watcher:
            self._say("choose a watcher or a process of one for that")
            return
        row, watch = chosen
        self.push_screen(Text(f"log of {row.watcher}", lambda: _output(watch, row.watcher), follows=True))

    def _say(self, text: str, *, is_wrong: bool = True) -> None:
        self.notify(text, severity="warning" if is_wrong else "information", markup=False)

    # ---- keys that change what runs

    @work
    async def action_operate(self, key: str) -> None:
        chosen = self._chosen()
        if not self.operates:
            self._say("it only looks; start it with --operate to change what runs")
            return
        if chosen is None:
            return
        row, watch = chosen
        action = keys.act(key, row)
        if isinstance(action, str):
            self._say(action)
        elif not action.question or await self.push_screen_wait(Question(action.question)):
            await self._give(action, watch)

    async def _give(self, action: Action, watch: Watch) -> None:
        self._say(f"{action.said} ...", is_wrong=False)
        try:
            reply = await watch.act(action.command, action.properties)
        except BigtopError as error:
            self._say(f"{action.said}: {error}")
        else:
            self._say(f"{action.said}: {ctl_show.reply(action.command, reply)}", is_wrong=False)


async def _once(text: str) -> AsyncIterator[str]:
    yield text


async def _stack(watch: Watch, target: str) -> AsyncIterator[str]:
    yield ctl_inspect.stack(await watch.act("stack", {"target": target}))


async def _output(watch: Watch, name: str) -> AsyncIterator[str]:
    """Yield the last lines that a watcher's processes wrote, then every further one."""
    further = watch.output(f"output.{topic_word(name)}.")
    # Subscribed before the last lines are asked for: rather a line twice than one missed.
    first = asyncio.ensure_future(anext(further))
    try:
        reply = await watch.act("tail", {"name": name, "lines": _TAIL})
        for line in reply["lines"]:
            yield ctl_show.line(line)
        if not reply["lines"]:
            yield f"({reply.get('note', 'nothing')})"
        yield ctl_show.line((await first).payload)
        async for event in further:
            yield ctl_show.line(event.payload)
    finally:
        first.cancel()
