# Sheet of a cluster: what `bigtop top --cluster` shows of it, as lines of a terminal and as JSON.
#
# Rule: pure. Every line has exactly the width that is given. Nothing is told by a colour alone.

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from bigtop.cluster.policy import overview
from bigtop.cluster.policy.overview import NodeRow
from bigtop.record import Record, as_dict, replace
from bigtop.top.model import words
from bigtop.top.screen import BAD, BOLD, DIM, GOOD, PLAIN, WARN, Line, Span

# What can be sorted by, and whether the lowest stand first.
SORTS: Final[Mapping[str, Callable[[NodeRow], float | None]]] = {
    "state": lambda row: row.rank,
    "name": lambda _row: 0.0,  # rows come sorted by name
    "busy": lambda row: row.busy,
    "rate": lambda row: row.rate,
    "errors": lambda row: row.errors,
    "p99": lambda row: row.p99,
}
_UPWARDS: Final = ("state", "name")
_STATES: Final = {"lost": BAD, "refused": BAD, "suspect": WARN, "changing": WARN}
_CONCERNS: Final = 5  # that are shown at most, above the nodes
_BUSY_BAR: Final = 4
_NARROWEST_NAME: Final = 14


class View(Record):
    """How somebody looks at it. `turned`: the other way round than is usual for that column."""

    sort: str = "state"
    turned: bool = False
    filter: str = ""

    def by_neighbour(self, step: int) -> View:
        """Return the view that is sorted by the column so many to the right."""
        names = list(SORTS)
        return replace(self, sort=names[(names.index(self.sort) + step) % len(names)], turned=False)

    def turn(self) -> View:
        return replace(self, turned=not self.turned)

    @property
    def is_upwards(self) -> bool:
        return (self.sort in _UPWARDS) != self.turned


class _Column(NamedTuple):
    title: str
    width: int
    text: Callable[[NodeRow], str]
    sort: str = ""
    right: bool = True


def _busy(row: NodeRow) -> str:
    if row.busy is None:
        return ""
    return f"{words.bar(row.busy, row.places, _BUSY_BAR)}{words.count(row.busy):>4}"


_COLUMNS: Final[tuple[_Column, ...]] = (
    _Column("STATE", 9, lambda row: row.state, "state", right=False),
    _Column("REVISION", 12, lambda row: row.revision, right=False),
    _Column("BUSY", _BUSY_BAR + 4, _busy, "busy"),
    _Column("REQ/S", 5, lambda row: words.number(row.rate), "rate"),
    _Column("5XX", 5, lambda row: share(row.errors), "errors"),
    _Column("P99", 5, lambda row: words.short(row.p99), "p99"),
)


def share(value: float | None) -> str:
    """Return at most five characters: 0%, 0.3%, 12%."""
    if value is None:
        return words.UNKNOWN
    return f"{value:.1%}" if 0 < value < 0.0995 else f"{value:.0%}"


# ---- lines


def lines(told: Mapping[str, Any], view: View, size: tuple[int, int]) -> list[Line]:
    """Return a whole screen of `size` (places, lines) at most, of what the leading controller told."""
    width, height = size
    nodes = overview.rows(told)
    found = overview.concerns(told, nodes)
    head = [_summary(told, nodes, width), _verdict(nodes, found, width)]
    if len(found) > 1:
        head += [_concern(one, width) for one in found[:_CONCERNS]]
    head.append(_heading(view, width))
    room = max(0, height - len(head))
    shown = arranged(nodes, view)
    table = [_line(row, width) for row in shown[:room]]
    if len(shown) > room > 0:
        rest = f"  ... and {len(shown) - room + 1} nodes more"
        table[-1] = (Span(words.fitted(rest, width), DIM),)
    return [*head, *table][:height]


def nobody(trouble: str, size: tuple[int, int]) -> list[Line]:
    """Return the screen while there is nothing to show."""
    return [(Span(words.fitted(trouble or "asked ...", size[0]), BAD if trouble else DIM),)]


def arranged(nodes: Sequence[NodeRow], view: View) -> list[NodeRow]:
    """Return the rows that somebody wants to see, sorted."""
    value, sign = SORTS[view.sort], 1 if view.is_upwards else -1

    def order(row: NodeRow) -> tuple[bool, float]:
        found = value(row)
        return found is None, sign * (found or 0)

    wanted = sorted((row for row in nodes if matches(row, view.filter)), key=lambda row: row.name)
    if view.sort == "name":
        return wanted if view.is_upwards else wanted[::-1]
    return sorted(wanted, key=order)


def matches(row: NodeRow, text: str) -> bool:
    """Say whether a node is looked for: by its name, state, revision, tags, or what is said of it."""
    about = (row.name, row.state, row.revision, *row.tags, row.about, "cordoned" if row.cordoned else "")
    return any(text.lower() in word.lower() for word in about)


def _summary(told: Mapping[str, Any], nodes: Sequence[NodeRow], width: int) -> Line:
    sums = overview.totals(nodes)
    parts = [
        f"cluster {told['cluster']}: {told['leader']} leads, epoch {told['epoch']}",
        f"nodes {sums.heard}/{sums.nodes}",
        f"busy {sums.busy}/{sums.places}",
        f"{words.number(sums.rate)} req/s",
        f"5xx {share(sums.errors)}",
    ]
    return (Span(words.fitted("  ".join(parts), width), BOLD),)


_LEVELS: Final = {overview.GOOD: GOOD, overview.WARN: WARN, overview.BAD: BAD}


def _verdict(nodes: Sequence[NodeRow], found: Sequence[overview.Concern], width: int) -> Line:
    level, text = overview.verdict(nodes, found)
    return (Span(words.fitted(text, width), _LEVELS[level]),)


def _concern(one: overview.Concern, width: int) -> Line:
    return (Span(words.fitted(f"  {one.what}", width), _LEVELS[one.level]),)


def _name_width(width: int) -> tuple[int, tuple[_Column, ...]]:
    """Return the places of the name, and the columns that there is room for."""
    shown = _COLUMNS
    while shown and width - sum(one.width + 1 for one in shown) < _NARROWEST_NAME:
        shown = shown[:-1]
    return max(1, width - sum(one.width + 1 for one in shown)), shown


def _heading(view: View, width: int) -> Line:
    places, shown = _name_width(width)
    arrow = "▲" if view.is_upwards else "▼"

    def title(column: str, text: str, places: int, *, right: bool) -> Span:
        if column == view.sort:
            return Span(words.fitted(text[: places - 1] + arrow, places, right=right), BOLD)
        return Span(words.fitted(text, places, right=right), DIM)

    name = min(places, len("NODE") + 1)
    spans = [title("name", "NODE", name, right=False)]
    spans.append(Span(words.fitted(f" /{view.filter}" if view.filter else "", places - name), WARN))
    for column in shown:
        spans += [Span(" "), title(column.sort, column.title, column.width, right=column.right)]
    return tuple(spans)


def _line(row: NodeRow, width: int) -> Line:
    places, shown = _name_width(width)
    about = f" ({row.about})" if row.about else ""
    name = f"{row.name}{' cordoned' if row.cordoned else ''}{about}"
    spans = [Span(words.fitted(name, places), _STATES.get(row.state, PLAIN))]
    spans += [Span(" " + words.fitted(one.text(row), one.width, right=one.right)) for one in shown]
    return tuple(spans)


# ---- JSON


def report(told: Mapping[str, Any], view: View, wall: float) -> dict[str, object]:
    """Return all of it; `wall` is seconds since the epoch. What is not known is None."""
    nodes = overview.rows(told)
    found = overview.concerns(told, nodes)
    level, text = overview.verdict(nodes, found)
    return {
        "time": round(wall, 3),
        "cluster": told["cluster"],
        "leader": told["leader"],
        "epoch": told["epoch"],
        "verdict": {"level": level, "words": text},
        "concerns": [as_dict(one) for one in found],
        "totals": as_dict(overview.totals(nodes)),
        "apps": dict(told["apps"]),
        "nodes": [_facts(row) for row in arranged(nodes, view)],
    }


def _facts(row: NodeRow) -> dict[str, object]:
    return {**row._asdict(), "tags": list(row.tags)}
