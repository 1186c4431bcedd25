# Screen of `bigtop top`: lines that are made of spans with a style each.
#
# Rule: pure. Every line has exactly the width that is given. A style is a word; what it looks like, who shows
# it decides, so a terminal without colours is told nothing that a colour alone says.

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from bigtop.record import Record
from bigtop.top.model import columns, words
from bigtop.top.model.node import Happening, Node, Said
from bigtop.top.model.rows import Branch, Kind, Row, Shown, View, arranged, tree

PLAIN, DIM, BOLD, GOOD, WARN, BAD = "", "dim", "bold", "good", "warn", "bad"

_SILENT: Final = 3.0  # seconds without an answer that are told of
_STALE: Final = 10.0  # seconds without a figure that are told of
_MARKS: Final = {True: "▾ ", False: "▸ ", None: "  "}
_QUIET: Final = ("active", "ready")
_STATES: Final = {"unreachable": BAD, "stopped": WARN, "killed": BAD}
_EVENTS: Final = {"died": BAD, "gave_up": BAD, "stuck": BAD, "reload_failed": BAD, "spawn_failed": BAD}
_TREND: Final = 30


class Span(NamedTuple):
    """A piece of a line."""

    text: str
    style: str = PLAIN


Line = tuple[Span, ...]


def text_of(line: Line) -> str:
    return "".join(span.text for span in line)


# ---- the table


def heading(view: View, width: int) -> Line:
    """Return the titles, with an arrow at that which is sorted by, and what is looked for."""
    shown = columns.of_width(width)
    arrow = "▲" if view.is_upwards else "▼"

    def title(word: str, text: str, places: int, *, right: bool) -> Span:
        if word == view.sort:
            return Span(words.fitted(text[: places - 1] + arrow, places, right=right), BOLD)
        return Span(words.fitted(text, places, right=right), DIM)

    places = columns.name_width(width, shown)
    name = min(places, len(columns.NAME) + 1)
    sought = words.fitted(f" /{view.filter}" if view.filter else "", places - name)
    spans = [title("name", columns.NAME, name, right=False), Span(sought, WARN)]
    for column in shown:
        spans += [Span(" "), title(column.sort, column.title, column.width, right=column.right)]
    return tuple(spans)


def table_line(shown: Shown, width: int) -> Line:
    row = shown.row
    there = columns.of_width(width)
    lead = "  " * shown.depth + _MARKS[shown.is_open]
    if row.kind is Kind.NODE and row.about:  # it is not reached: that is all there is to say
        return (Span(words.fitted(f"{lead}{row.name}: {row.about}", width), BAD),)
    name_width = columns.name_width(width, there)
    if row.kind is Kind.REQUEST:
        return _request_line(row, lead, width, there)
    name = words.fitted(lead + _name(row), name_width)
    spans = [Span(name, _style(row))]
    spans += [Span(" " + words.fitted(one.text(row), one.width, right=one.right)) for one in there]
    return tuple(spans)


def _name(row: Row) -> str:
    state = "" if row.state in _QUIET else f" {row.state}"
    return f"{row.name}{state}{f' ({row.about})' if row.about else ''}"


def _style(row: Row) -> str:
    if row.state in _QUIET:
        return BOLD if row.kind in (Kind.NODE, Kind.WATCHER) else PLAIN
    return _STATES.get(row.state, WARN)


def _request_line(row: Row, lead: str, width: int, there: tuple[columns.Column, ...]) -> Line:
    """Return the line of a request: what it asks for has the place of figures that only processes have."""
    titles = [column.title for column in there]
    if "AGE" not in titles:
        return (Span(words.fitted(f"{lead}{row.name}", width)),)
    at = titles.index("AGE")
    before = columns.name_width(width, there) + sum(one.width + 1 for one in there[:at])
    after = sum(one.width + 1 for one in there[at + 1 :])
    return (
        Span(words.fitted(lead + row.name, before)),
        Span(" " + words.fitted(words.span(row.age), there[at].width, right=True)),
        Span(words.fitted(f" {row.state} {row.about}", after), DIM),
    )


# ---- what stands around it


def summary(node: Node, row: Row, width: int, now: float) -> Line:
    """Return the line about a whole supervisor. `now` is by the clock of the node."""
    silence = node.silence(now)
    if node.trouble or silence > _SILENT:
        said = node.trouble or "it does not answer"
        since = f" (for {words.span(silence)})" if silence else ""
        return (Span(words.fitted(f"{node.name}: {said}{since}", width), BAD),)
    if node.heard_at is None:
        return (Span(words.fitted(f"{node.name}: asked ...", width), DIM),)
    parts = [
        f"{node.name} {node.overview.get('version', '')}",
        f"cpu {words.number(row.cpu)}%",
        f"mem {words.size(row.memory)}",
    ]
    if row.calls is not None:
        parts += [f"busy {row.calls}/{row.places}", f"queue {words.count(row.queue)}"]
        parts += [f"{words.number(row.rate)} req/s"]
    if (staleness := node.staleness(now)) > _STALE:
        parts.insert(1, f"no new figures for {words.span(staleness)}")
    text = "  ".join(parts)
    left = width - words.cells(text) - 2
    if row.trend and left >= 4:
        text += "  " + words.sparkline(row.trend, min(_TREND, left)).lstrip()
    return (Span(words.fitted(text, width), WARN if staleness > _STALE else BOLD),)


def socket_line(address: str, socket: Said, width: int) -> Line:
    waiting, backlog = socket.get("waiting"), socket.get("backlog")
    is_full = bool(waiting and backlog and waiting * 2 > backlog)
    queue = f"waiting {words.count(waiting)}/{words.count(backlog)}"
    parts = [f"accepted {words.count(socket.get('accepted'))}", f"now {words.count(socket.get('reads'))}"]
    lead = words.fitted(f"socket {address}", min(40, width))
    if width <= 40:
        return (Span(lead),)
    rest = words.fitted(f"  {queue:<20}", min(22, width - 40))
    end = words.fitted("  ".join(parts), max(0, width - 40 - 22))
    return Span(lead), Span(rest, WARN if is_full else PLAIN), Span(end, DIM)


def socket_lines(nodes: Sequence[Node], width: int) -> list[Line]:
    """Return a line for each listening socket; of several supervisors it says whose that is."""
    return [
        socket_line(f"{_whose(node, nodes)}{one['address']}", node.sockets[one["fd"]], width)
        for node in nodes
        for one in node.overview.get("sockets", ())
        if one["fd"] in node.sockets
    ]


def _whose(node: Node, nodes: Sequence[Node]) -> str:
    return f"{node.name}: " if len(nodes) > 1 else ""


def event_line(event: Happening, whose: str, width: int) -> Line:
    when = f"{time.strftime('%H:%M:%S', time.localtime(event.time))} {whose}".rstrip()
    who = f"{event.watcher} {event.name}" if event.watcher else event.name
    style = _EVENTS.get(event.name, DIM)
    return (Span(words.fitted(f"{when} {who} {event.about}".rstrip(), width), style),)


def event_lines(nodes: Sequence[Node], width: int) -> list[Line]:
    """Return the last events of all, the oldest first; of several supervisors each says whose it is."""
    events = [(event, _whose(node, nodes)) for node in nodes for event in node.events]
    return [event_line(event, whose, width) for event, whose in sorted(events, key=lambda one: one[0].time)]


class Layout(Record):
    """How many lines each part of a screen has."""

    rows: int
    sockets: int
    events: int


def layout(height: int, rows: int, sockets: int, events: int) -> Layout:
    """Share out what is left of a screen: the table first, events last."""
    least = min(rows, max(3, height // 2))
    shown_sockets = min(sockets, 3, max(0, height - least))
    shown_events = min(events, 5, max(0, height - least - shown_sockets))
    return Layout(min(rows, height - shown_sockets - shown_events), shown_sockets, shown_events)


def summaries(nodes: Sequence[Node], branches: Sequence[Branch], width: int, now: float) -> list[Line]:
    return [summary(node, one.row, width, now) for node, one in zip(nodes, branches, strict=True)]


def whole(nodes: Sequence[Node], view: View, size: tuple[int, int], now: float) -> list[Line]:
    """Return a whole screen of `size` (places, lines) at most; `now` is by the clock of the nodes."""
    width, height = size
    branches = tree(nodes)
    shown = arranged(branches, view)
    head = summaries(nodes, branches, width, now)
    head.append(heading(view, width))
    sockets, events = socket_lines(nodes, width), event_lines(nodes, width)
    parts = layout(max(0, height - len(head)), len(shown), len(sockets), len(events))
    lines = [table_line(one, width) for one in shown[: parts.rows]]
    if len(shown) > parts.rows > 0:
        rest = len(shown) - parts.rows + 1
        lines[-1] = (Span(words.fitted(f"  ... and {rest} rows more", width), DIM),)
    lines += sockets[: parts.sockets] + events[len(events) - parts.events :]
    return [*head, *lines][:height]
