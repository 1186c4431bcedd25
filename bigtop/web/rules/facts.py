# Facts for the pages, in the words of JSON: what the models of `bigtop top` know of supervisors.
#
# Rules: pure. Times are POSIX times, so that a row stays the same while nothing happens to it, and a page
# counts by itself how long ago that was. A figure that is not known is null.

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from bigtop.control.events import topic_word
from bigtop.top.model.node import Node, Said, restarts
from bigtop.top.model.rows import OWN_NAME, Branch, Kind, Row, of_watcher

Facts = dict[str, Any]
Point = list[float | None]  # as COLUMNS
_TREND: Final = 40  # points of a small picture
_SEPARATOR: Final = "\n"  # in keys; no name has one


class Clock:
    """Two clocks at one moment: `now` of nodes, `wall` in POSIX time."""

    def __init__(self, now: float, wall: float) -> None:
        self.now, self.wall = now, wall

    def began(self, age: float | None) -> float | None:
        """Return since when, to the second: who is looked at twice has begun once."""
        return None if age is None else round(self.wall - age)


def key_of(daemon: str, watcher: str) -> str:
    return daemon + _SEPARATOR + watcher


# ---- front page


def front(nodes: Sequence[Node], branches: Sequence[Branch], clock: Clock) -> dict[str, Facts]:
    """Return a row for each watcher, by key; `branches` are those of the nodes."""
    found: dict[str, Facts] = {}
    for node, branch in zip(nodes, branches, strict=True):
        watchers = {one["name"]: one for one in node.overview.get("watchers", ())}
        for below in branch.below:
            if below.row.name != OWN_NAME:
                found[key_of(node.name, below.row.name)] = _tile(
                    node, watchers[below.row.name], below.row, clock
                )
    return found


def _tile(node: Node, watcher: Said, row: Row, clock: Clock) -> Facts:
    counts = node.counts.get(topic_word(row.name), {})
    return {
        "daemon": node.name,
        "name": row.name,
        "kind": watcher["kind"],
        "state": row.state,
        "ready": watcher["ready"],
        "wanted": watcher["wanted"],
        "generation": row.generation,
        "cpu": _rounded(row.cpu, 0),
        "memory": _coarse(row.memory),
        "rate": _rounded(row.rate, 1),
        "p99": _rounded(row.p99, 4),
        "errors": _rounded(_window(counts, "10").get("errors_per_second"), 2),
        "calls": row.calls,
        "places": row.places,
        "queue": row.queue,
        "restarts": row.restarts,
        "trend": [round(value, 1) for value in row.trend[-_TREND:]] if watcher["kind"] == "app" else None,
    }


def daemons(nodes: Sequence[Node], branches: Sequence[Branch], clock: Clock) -> list[Facts]:
    """Return what is to be said of each supervisor itself; `branches` are those of the nodes."""
    found = []
    for node, branch in zip(nodes, branches, strict=True):
        row = branch.row
        own = next((one.row for one in branch.below if one.row.name == OWN_NAME), None)
        found.append(
            {
                "name": node.name,
                "state": row.state,
                "trouble": node.trouble or None,
                "heard": clock.began(node.silence(clock.now)) if node.heard_at is not None else None,
                "version": node.overview.get("version"),
                "pid": row.pid,
                "source": node.source or None,
                "rate": _rounded(row.rate, 1),
                "cpu": _rounded(row.cpu, 0),
                "memory": _coarse(row.memory),
                "own_memory": _coarse(None if own is None else own.memory),
                "own_cpu": _rounded(None if own is None else own.cpu, 0),
                "watchers": sum(one.row.name != OWN_NAME for one in branch.below),
                "trend": [round(value, 1) for value in node.trends.get("", ())][-_TREND:],
            }
        )
    return found


# ---- one watcher


def watcher(node: Node, name: str, clock: Clock) -> Facts | None:
    """Return all that is known of a watcher; None where there is none such."""
    said = next((one for one in node.overview.get("watchers", ()) if one["name"] == name), None)
    branch = of_watcher(node, name)
    if said is None or branch is None:
        return None
    counts = node.counts.get(topic_word(name), {})
    return {
        **_tile(node, said, branch.row, clock),
        "threads": said["threads"],
        "starts": said["starts"],
        "exits": {reason: count for reason, count in said["exits"].items() if count},
        "restarts": restarts(said),
        "reloads": said["reloads"],
        "failed_reloads": said["failed_reloads"],
        "dropped": said["dropped"],
        "windows": counts.get("windows") or {},
        "requests": counts.get("requests"),
        "error_count": counts.get("errors"),
        "workers": [_worker(one, clock) for one in branch.below if one.row.kind is Kind.WORKER],
        "routes": _routes(branch.below),
        "trouble": node.trouble or None,
    }


def _worker(branch: Branch, clock: Clock) -> Facts:
    row = branch.row
    return {
        "key": row.key[-1],
        "wid": row.name,
        "pid": row.pid,
        "state": row.state,
        "about": row.about,
        "generation": row.generation,
        "cpu": _rounded(row.cpu, 0),
        "memory": _coarse(row.memory),
        "began": clock.began(row.age),
        "calls": row.calls,
        "places": row.places,
        "doing": [
            {
                "what": one.row.name,
                "state": one.row.state,
                "began": clock.began(one.row.age),
                "target": one.row.target,
            }
            for one in branch.below[:8]
        ],
        "more": max(0, len(branch.below) - 8),
        "target": row.target,
    }


def _routes(branches: Iterable[Branch]) -> list[Facts]:
    return [
        {
            "route": one.row.name,
            "rate": _rounded(one.row.rate, 1),
            "p99": _rounded(one.row.p99, 4),
            "about": one.row.about,
        }
        for routes in branches
        if routes.row.kind is Kind.ROUTES
        for one in routes.below
    ]


# ---- requests, sockets


def requests(nodes: Sequence[Node], clock: Clock) -> dict[str, Facts]:
    """Return the running requests of all supervisors, the oldest first, by key."""
    found = []
    for node in nodes:
        for each in node.overview.get("watchers", ()):
            for process in each["processes"]:
                found += [
                    _request(node, one, clock) for one in node.requests_of(each["name"], process["pid"])
                ]
    found.sort(key=lambda one: float(one["began"]))
    return {
        f"{one['daemon']} {one['pid']} {one['id']} {number}": one for number, one in enumerate(found[:1000])
    }


def _request(node: Node, request: Said, clock: Clock) -> Facts:
    return {
        "daemon": node.name,
        "watcher": request["watcher"],
        "wid": request["wid"],
        "pid": request["pid"],
        "id": request["id"],
        "method": request["method"],
        "path": request["path"],
        "client": request["client"],
        "phase": request["phase"],
        "began": round(clock.wall - request["seconds"], 1),
        "target": request["id"] or f"{request['watcher']}/{request['wid']}",
    }


def sockets(nodes: Sequence[Node]) -> dict[str, Facts]:
    found = {}
    for node in nodes:
        for one in node.overview.get("sockets", ()):
            figure = node.sockets.get(one["fd"], {})
            found[f"{node.name} {one['fd']}"] = {
                "daemon": node.name,
                "address": one["address"],
                "fd": one["fd"],
                "served": sorted({name for name, _ in one["served"]}),
                **{key: figure.get(key) for key in ("waiting", "backlog", "accepted", "reads")},
            }
    return found


# ---- charts


def point(node: Node, name: str, wall: float) -> Point:
    """Return the newest figures of a watcher, in the order of COLUMNS."""
    word = topic_word(name)
    sums = (node.watchers.get(word) or {}).get("tree") or {}
    counts = node.counts.get(word, {})
    one = _window(counts, "1")
    latency, queue = one.get("latency") or {}, one.get("queue") or {}
    memory = sums.get("pss") if sums.get("pss") is not None else sums.get("rss")
    return [
        round(wall, 1),
        sums.get("cpu"),
        memory,
        sums.get("processes"),
        counts.get("requests_per_second"),
        one.get("errors_per_second"),
        latency.get("p50"),
        latency.get("p99"),
        queue.get("p99"),
        counts.get("busy"),
        counts.get("waiting"),
    ]


COLUMNS: Final = (
    *("time", "cpu", "memory", "processes", "rate", "errors", "p50", "p99", "queue_p99", "busy", "waiting"),
)


def past(said: Said) -> list[Point]:
    """Return points out of what a stats process tells of the past of a watcher (stats/history.py)."""
    found: dict[float, Point] = {}
    requests: Said = said.get("requests") or {}
    oldest = min((ring["fine"][0][0] for ring in (said, requests) if ring.get("fine")), default=float("inf"))
    for part in (said, requests):
        columns = list(part.get("columns", ()))
        coarse = (row for row in part.get("coarse", ()) if row[0] < oldest)
        for row in (*coarse, *part.get("fine", ())):
            named: dict[str, Any] = dict(zip(columns, row, strict=False))
            named["memory"] = named.get("pss") or named.get("rss")
            one = found.setdefault(row[0], [None] * len(COLUMNS))
            for at, name in enumerate(COLUMNS):
                if one[at] is None:
                    one[at] = named.get(name)
    return [found[at] for at in sorted(found)]


def merged(past: Sequence[Point], known: Sequence[Point]) -> list[Point]:
    """Return the points of a stats process, and our own before and after them: that one goes on while nobody
    looks."""
    if not past:
        return list(known)
    first, last = past[0][0] or 0.0, past[-1][0] or 0.0
    before = [one for one in known if (one[0] or 0.0) < first]
    return [*before, *past, *(one for one in known if (one[0] or 0.0) > last)]


def _window(counts: Said, seconds: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (counts.get("windows") or {}).get(seconds) or {}
    return found


def _rounded(value: float | None, digits: int) -> float | None:
    if value is None:
        return None
    return round(value, digits) if digits else float(round(value))


def _coarse(size: int | None) -> int | None:
    """Return a size to 64 KiB: what is shown does not change with each page of memory."""
    return None if size is None else size >> 16 << 16
