# Meaning of keys: which command a key gives for a row, and the help that names them all.
#
# Rule: pure. Who only looks gives no command that changes something; that is said, and not passed over.

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from bigtop.record import Record, field
from bigtop.top.model.rows import Kind, Row

HELP: Final = (
    ("up down", "choose a line; page up, page down, home, end"),
    ("enter", "open or fold what is below the line; of a request: its stack"),
    ("/", "show only lines that hold a text; escape shows all again"),
    ("< >", "sort by the column to the left, to the right; or click on a title"),
    ("i", "sort the other way round"),
    ("l", "what the processes of a watcher write"),
    ("k", "the stack of a worker, a process or a request"),
    ("e", "events so far"),
    ("?", "this"),
    ("q", "quit"),
)
HELP_OPERATE: Final = (
    ("r", "reload the watcher; of a supervisor, after a question, all of them"),
    ("+ -", "one process more, one less"),
    ("x", "restart the watcher, or the process, after a question"),
)


class Action(Record):
    """A command to give, after a `question` where there is one; `said` is what that means, in words."""

    command: str
    said: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    question: str = ""


def act(key: str, row: Row) -> Action | str:
    """Return what a key of HELP_OPERATE does to a row, or why it does nothing."""
    if row.kind is Kind.NODE:
        if key != "r":
            return "choose a watcher or a process for that"
        said = f"reload all of {row.name}"
        return Action("reload", said, {"waiting": True}, f"Reload every watcher of {row.name}?")
    if not row.watcher:
        return "that is Bigtop itself"
    return _ACTIONS[key](row)


def _reload(row: Row) -> Action:
    return Action("reload", f"reload {row.watcher}", {"name": row.watcher, "waiting": True})


def _scale(command: str, word: str) -> Callable[[Row], Action]:
    def made(row: Row) -> Action:
        return Action(command, f"{row.watcher}: one process {word}", {"name": row.watcher, "waiting": True})

    return made


def _restart(row: Row) -> Action | str:
    if row.kind is Kind.WATCHER:
        question = f"Restart {row.watcher}? All of its processes stop, then they start."
        properties = {"name": row.watcher, "match": "simple", "waiting": True}
        return Action("restart", f"restart {row.watcher}", properties, question)
    if row.kind in (Kind.ROUTES, Kind.ROUTE):
        return "choose a watcher or a process for that"
    if row.pid is None:
        return "that process has not started yet"
    question = f"End process {row.pid} of {row.watcher}? Another one takes its place."
    properties = {"name": row.watcher, "pid": row.pid, "waiting": True}
    return Action("kill", f"replace process {row.pid} of {row.watcher}", properties, question)


_ACTIONS: Final[Mapping[str, Callable[[Row], Action | str]]] = {
    "r": _reload,
    "+": _scale("incr", "more"),
    "-": _scale("decr", "less"),
    "x": _restart,
}


def footer(*, operates: bool) -> str:
    shown = "? help  / filter  <> sort  enter open  l logs  k stack  e events"
    return f"{shown}  r + - x  q" if operates else f"{shown}  q quit"


def help_text(*, operates: bool) -> str:
    shown = HELP + HELP_OPERATE if operates else HELP
    lines = [f"{keys:<12}  {what}" for keys, what in shown]
    if not operates:
        lines += ["", "It only looks. With --operate, keys reload, scale and restart:"]
        lines += [f"{keys:<12}  {what}" for keys, what in HELP_OPERATE]
    return "\n".join(lines)
