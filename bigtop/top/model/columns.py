# Columns of the table: what each shows of a row, how wide it is, and which there is room for.
#
# Rule: pure. All that the narrowest terminal of 80 places shows, wider ones show, too.

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bigtop.record import Record
from bigtop.top.model import words
from bigtop.top.model.rows import Kind, Row

_BUSY_BAR: Final = 4
_TREND: Final = 16
_NARROWEST_NAME: Final = 14
_OF_ROUTES: Final = (Kind.ROUTES, Kind.ROUTE)
_WITHOUT_PROCESS: Final = (Kind.REQUEST, *_OF_ROUTES)


class Column(Record):
    """`sort` is its word in rows.SORTS, if it can be sorted by; `from_width` the places of a terminal that
    has room for it."""

    title: str
    width: int
    text: Callable[[Row], str]
    sort: str = ""
    from_width: int = 0
    right: bool = True


def _restarts(row: Row) -> str:
    return "" if row.kind in (Kind.WORKER, *_WITHOUT_PROCESS) else words.count(row.restarts)


def _busy(row: Row) -> str:
    if row.calls is None:
        return ""
    return f"{words.bar(row.calls, row.places, _BUSY_BAR)}{words.count(row.calls):>3}"


def _of_apps(row: Row, text: str) -> str:
    """Return what only applications and their routes have."""
    if row.kind is Kind.ROUTE:
        return text
    return "" if row.kind in (Kind.WORKER, Kind.REQUEST) or row.calls is None else text


def _of_processes(row: Row, text: str) -> str:
    return "" if row.kind in _WITHOUT_PROCESS else text


COLUMNS: Final[tuple[Column, ...]] = (
    Column("PID", 7, lambda row: "" if row.pid is None or row.kind is Kind.REQUEST else str(row.pid), "pid"),
    Column("GEN", 3, lambda row: "" if row.generation is None else str(row.generation), "gen"),
    Column("CPU%", 4, lambda row: _of_processes(row, words.number(row.cpu)), "cpu"),
    Column("PSS", 4, lambda row: _of_processes(row, words.size(row.memory)), "memory"),
    Column("AGE", 5, lambda row: "" if row.kind in _OF_ROUTES else words.span(row.age), "age"),
    Column("RST", 3, _restarts, "restarts"),
    Column("BUSY", _BUSY_BAR + 3, _busy, "busy"),
    Column("REQ/S", 5, lambda row: _of_apps(row, words.number(row.rate)), "rate"),
    Column("P99", 5, lambda row: _of_apps(row, words.short(row.p99)), "p99"),
    Column("QUE", 3, lambda row: "" if row.queue is None else words.count(row.queue), "queue"),
    Column("TREND", _TREND, lambda row: words.sparkline(row.trend, _TREND) if row.trend else "", "", 108),
)

NAME: Final = "NAME"


def of_width(width: int) -> tuple[Column, ...]:
    """Return the columns besides the name that there is room for."""
    shown = [column for column in COLUMNS if width >= column.from_width]
    while shown and name_width(width, tuple(shown)) < _NARROWEST_NAME:
        shown.pop()
    return tuple(shown)


def name_width(width: int, columns: tuple[Column, ...]) -> int:
    return max(1, width - sum(column.width + 1 for column in columns))


def at(place: int, width: int) -> str:
    """Return what is sorted by when somebody points at that place of the heading; "" for nothing."""
    columns = of_width(width)
    end = name_width(width, columns)
    if place < end:
        return "name"
    for column in columns:
        end += column.width + 1
        if place < end:
            return column.sort
    return ""
