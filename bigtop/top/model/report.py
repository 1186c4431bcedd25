# Report of `bigtop top --json`: one object for all supervisors.
#
# Rule: pure. Names of keys are an interface, listed in docs/howto/top.md; what is not known is null.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from bigtop.record import as_dict
from bigtop.top.model.node import Node
from bigtop.top.model.rows import Branch, Kind, Row, tree

_BELOW: Final = {Kind.NODE: "watchers", Kind.WATCHER: "processes", Kind.WORKER: "requests"}
_COMMON: Final = ("name", "state")
_OF: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.NODE: (
        *("pid", "cpu", "memory", "age", "restarts", "calls", "places", "rate", "p99", "queue", "trend"),
    ),
    Kind.WATCHER: (
        *("generation", "cpu", "memory", "age", "restarts", "calls", "places", "rate", "p99", "queue"),
        "trend",
    ),
    Kind.WORKER: ("pid", "generation", "cpu", "memory", "age", "calls", "places", "queue"),
    Kind.REQUEST: ("age", "about"),
    Kind.ROUTE: ("rate", "p99"),
}


def of(nodes: Sequence[Node], wall: float, now: float) -> dict[str, object]:
    """Return everything; `wall` is seconds since the epoch, `now` by the clock of the nodes."""
    found = [_of_node(node, branch, now) for node, branch in zip(nodes, tree(nodes), strict=True)]
    return {"time": round(wall, 3), "supervisors": found}


def _of_node(node: Node, branch: Branch, now: float) -> dict[str, object]:
    told = _of_branch(branch)
    sockets = [
        {"address": one["address"], **_of_socket(node, one["fd"])} for one in node.overview.get("sockets", ())
    ]
    return {
        **told,
        "trouble": node.trouble or None,
        "version": node.overview.get("version"),
        "source": node.source or None,
        "staleness": None if node.measured_at is None else round(node.staleness(now), 1),
        "sockets": sockets,
        "events": [as_dict(event) for event in node.events],
    }


def _of_socket(node: Node, fd: int) -> dict[str, object]:
    figure = node.sockets.get(fd, {})
    return {key: figure.get(key) for key in ("waiting", "backlog", "accepted", "reads")}


def _of_branch(branch: Branch) -> dict[str, object]:
    row = branch.row
    told = {key: value for key, value in _facts(row).items() if key in (*_COMMON, *_OF[row.kind])}
    if row.kind in _BELOW:
        told[_BELOW[row.kind]] = [_of_branch(one) for one in branch.below if one.row.kind is not Kind.ROUTES]
    for routes in branch.below:
        if routes.row.kind is Kind.ROUTES:
            told["routes"] = [_of_branch(one) for one in routes.below]
    return told


def _facts(row: Row) -> dict[str, object]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in row._asdict().items()}
