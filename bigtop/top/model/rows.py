# Rows of the table: node, watcher, worker, running request, and the watcher's route patterns, as a tree;
# sorted, filtered, folded.
#
# Rule: pure. A figure that is not known is None, and stands behind all that are, whichever way is sorted.

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

from bigtop.control.events import topic_word
from bigtop.record import Record, replace
from bigtop.top.model import node as known
from bigtop.top.model.node import Node, Said

Key = tuple[str, ...]


class Kind(Enum):
    NODE = "node"
    WATCHER = "watcher"
    WORKER = "worker"
    REQUEST = "request"
    ROUTES = "routes"
    ROUTE = "route"


class Row(NamedTuple):  # no Record: a thousand watchers are two thousand of these, each second
    """`cpu` is a percentage of a core, `memory` bytes, `age` and `p99` seconds, `rate` requests per second;
    `calls` run at `places`, and requests wait in the `queue`. `place` is that among its siblings."""

    kind: Kind
    key: Key
    name: str
    place: float = 0.0
    state: str = ""
    about: str = ""  # what is worth to be said of it besides
    pid: int | None = None
    generation: int | None = None
    cpu: float | None = None
    memory: int | None = None
    age: float | None = None
    restarts: int | None = None
    calls: int | None = None
    places: int | None = None
    rate: float | None = None
    p99: float | None = None
    queue: int | None = None
    trend: tuple[float, ...] = ()
    target: str = ""  # what `stack` is asked for
    watcher: str = ""


class Branch(NamedTuple):
    """A row and those below it."""

    row: Row
    below: tuple[Branch, ...] = ()


class Shown(Record):
    """A row as it stands in the table. `is_open` None: there is nothing below it."""

    row: Row
    depth: int
    is_open: bool | None


# What can be sorted by, in the order of the columns.
SORTS: Final[Mapping[str, Callable[[Row], float | None]]] = {
    "name": lambda row: row.place,
    "pid": lambda row: row.pid,
    "gen": lambda row: row.generation,
    "cpu": lambda row: row.cpu,
    "memory": lambda row: row.memory,
    "age": lambda row: row.age,
    "restarts": lambda row: row.restarts,
    "busy": lambda row: row.calls,
    "rate": lambda row: row.rate,
    "p99": lambda row: row.p99,
    "queue": lambda row: row.queue,
}
_UPWARDS: Final = ("name", "pid")


class View(Record):
    """How somebody looks at it. `turned`: the other way round than is usual for that column."""

    sort: str = "name"
    turned: bool = False
    filter: str = ""
    toggled: frozenset[Key] = frozenset()  # open where it is usually folded, and folded where it is open

    def by_neighbour(self, step: int) -> View:
        """Return the view that is sorted by the column so many to the right."""
        names = list(SORTS)
        return replace(self, sort=names[(names.index(self.sort) + step) % len(names)], turned=False)

    def turn(self) -> View:
        return replace(self, turned=not self.turned)

    def toggle(self, key: Key) -> View:
        return replace(self, toggled=self.toggled ^ {key})

    def is_open(self, key: Key) -> bool:
        return (key in self.toggled) == (key[-1] in (OWN_NAME, ROUTES_NAME))

    @property
    def is_upwards(self) -> bool:
        return (self.sort in _UPWARDS) != self.turned


OWN_NAME: Final = "(bigtop)"
ROUTES_NAME: Final = "(routes)"


# ---- the tree


def tree(nodes: Sequence[Node]) -> tuple[Branch, ...]:
    return tuple(_of_node(node, place) for place, node in enumerate(nodes))


def of_watcher(node: Node, name: str) -> Branch | None:
    """Return what there is of one watcher; None where there is none such."""
    for place, watcher in enumerate(node.overview.get("watchers", ())):
        if watcher["name"] == name and watcher["kind"] != "helper":
            return _of_watcher(node, watcher, place)
    return None


def _of_node(node: Node, place: int) -> Branch:
    watchers = [one for one in node.overview.get("watchers", ()) if one["kind"] != "helper"]
    below = [_of_watcher(node, watcher, place) for place, watcher in enumerate(watchers)]
    if node.overview:
        below.append(_of_own(node, len(below)))
    rows = [branch.row for branch in below]
    row = Row(
        kind=Kind.NODE,
        key=(node.name,),
        name=node.name,
        place=place,
        state=_state(node, rows),
        about=node.trouble,
        pid=node.overview.get("pid"),
        cpu=known.total(row.cpu for row in rows),
        memory=_whole(known.total(row.memory for row in rows)),
        age=max((row.age for row in rows if row.age is not None), default=None),
        restarts=_whole(known.total(row.restarts for row in rows)),
        calls=_whole(known.total(row.calls for row in rows)),
        places=_whole(known.total(row.places for row in rows)),
        rate=known.total(row.rate for row in rows),
        p99=max((row.p99 for row in rows if row.p99 is not None), default=None),
        queue=_whole(known.total(row.queue for row in rows)),
        trend=tuple(node.trends.get("", ())),
    )
    return Branch(row, tuple(below))


def _state(node: Node, rows: Iterable[Row]) -> str:
    if node.trouble:
        return "unreachable"
    if node.heard_at is None:
        return "asked"
    return "active" if all(row.state in ("active", "stopped") for row in rows) else "changing"


def _of_watcher(node: Node, watcher: Said, place: int) -> Branch:
    word = topic_word(watcher["name"])
    counts, whole = node.counts.get(word, {}), node.watchers.get(word, {})
    key = (node.name, watcher["name"])
    below = tuple(_of_worker(node, watcher, process, key) for process in watcher["processes"])
    is_app = watcher["kind"] == "app"
    sums = whole.get("tree") or {}
    rows = [branch.row for branch in below]
    row = Row(
        kind=Kind.WATCHER,
        key=key,
        name=watcher["name"],
        place=place,
        state=watcher["status"],
        about=_readiness(watcher),
        generation=watcher["generation"] or None,
        cpu=sums.get("cpu", known.total(row.cpu for row in rows)),
        memory=_memory(sums) or _whole(known.total(row.memory for row in rows)),
        age=max((row.age for row in rows if row.age is not None), default=None),
        restarts=known.restarts(watcher),
        calls=counts.get("busy", sum(row.calls or 0 for row in rows)) if is_app else None,
        places=len(below) * (watcher["threads"] or 1) if is_app else None,
        rate=counts.get("requests_per_second"),
        p99=known.p99(counts),
        queue=counts.get("waiting"),
        trend=tuple(node.trends.get(word, ())),
        target=watcher["name"],
        watcher=watcher["name"],
    )
    return Branch(row, (*below, *_of_routes(counts.get("routes") or {}, row, len(below))))


def _of_routes(routes: Mapping[str, Said], watcher: Row, place: int) -> Iterator[Branch]:
    """Yield the heading of what is known by route pattern, if something is."""
    if not routes:
        return
    key = (*watcher.key, ROUTES_NAME)
    below = tuple(
        Branch(
            Row(
                kind=Kind.ROUTE,
                key=(*key, pattern),
                name=pattern,
                place=number,
                about=f"{counts['errors']} errors" if counts["errors"] else "",
                rate=counts.get("requests_per_second"),
                p99=(counts.get("latency") or {}).get("p99"),
                target=watcher.target,
                watcher=watcher.watcher,
            )
        )
        for number, (pattern, counts) in enumerate(sorted(routes.items()))
    )
    row = Row(
        kind=Kind.ROUTES,
        key=key,
        name=ROUTES_NAME,
        place=place,
        target=watcher.target,
        watcher=watcher.watcher,
    )
    yield Branch(row, below)


def _readiness(watcher: Said) -> str:
    ready, wanted = watcher["ready"], watcher["wanted"]
    return "" if watcher["status"] == "stopped" or ready == wanted else f"{ready}/{wanted} ready"


def _of_worker(node: Node, watcher: Said, process: Said, above: Key) -> Branch:
    figure = node.processes.get(process["pid"], {})
    sums = figure.get("tree") or figure
    wid, is_app = process["wid"], watcher["kind"] == "app"
    # Two processes of a place are there at once while one replaces the other.
    key = (*above, f"{wid}.{process['pid']}")
    mine = node.requests_of(watcher["name"], process["pid"])
    twins: Counter[str] = Counter()  # a client may give two requests the same id
    requests = []
    for request in mine:
        twins[request["id"]] += 1
        requests.append(_of_request(request, (*key, f"{request['id']} {twins[request['id']]}")))
    row = Row(
        kind=Kind.WORKER,
        key=key,
        name=f"{wid}",
        place=wid,
        state=process["state"],
        about=f"{figure.get('tree', {}).get('processes')} processes" if "tree" in figure else "",
        pid=process["pid"],
        generation=process["generation"] or None,
        cpu=sums.get("cpu"),
        memory=_memory(sums),
        age=process["age"],
        calls=sum(request["phase"] == "app" for request in mine) if is_app else None,
        places=(watcher["threads"] or 1) if is_app else None,
        queue=sum(request["phase"] == "queued" for request in mine) if is_app else None,
        target=f"{watcher['name']}/{wid}",
        watcher=watcher["name"],
    )
    return Branch(row, tuple(requests))


def _of_request(request: Said, key: Key) -> Branch:
    name = f"{request['method']} {request['path']}"
    row = Row(
        kind=Kind.REQUEST,
        key=key,
        name=name,
        place=-request["seconds"],
        state=request["phase"],
        about=" ".join(str(part) for part in (request["client"], request["id"]) if part),
        pid=request["pid"],
        age=request["seconds"],
        target=request["id"] or f"{request['watcher']}/{request['wid']}",
        watcher=request["watcher"],
    )
    return Branch(row)


def _of_own(node: Node, place: int) -> Branch:
    """Bigtop itself, with its helpers."""
    key = (node.name, OWN_NAME)
    rows = []
    for number, process in enumerate(node.overview["own"]):
        figure = node.processes.get(process["pid"], {})
        rows.append(
            Row(
                kind=Kind.WORKER,
                key=(*key, str(process["pid"])),
                name="supervisor" if not number else process["name"],
                place=number,
                state="ready",
                pid=process["pid"],
                cpu=figure.get("cpu"),
                memory=_memory(figure),
                age=figure.get("age"),
            )
        )
    row = Row(
        kind=Kind.WATCHER,
        key=key,
        name=OWN_NAME,
        place=place,
        state="active",
        cpu=known.total(row.cpu for row in rows),
        memory=_whole(known.total(row.memory for row in rows)),
        age=max((row.age for row in rows if row.age is not None), default=None),
    )
    return Branch(row, tuple(map(Branch, rows)))


def _memory(figure: Mapping[str, Any]) -> int | None:
    """Return the share of the memory, or what is resident where the share is not to be read."""
    found = figure.get("pss")
    return figure.get("rss") if found is None else found


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


# ---- the table


def arranged(branches: Iterable[Branch], view: View) -> list[Shown]:
    """Return what is shown, from top to bottom."""
    return list(_below(branches, view, 0, is_kept=not view.filter))


def _below(branches: Iterable[Branch], view: View, depth: int, *, is_kept: bool) -> Iterator[Shown]:
    for branch in _sorted(branches, view):
        row = branch.row
        here = is_kept or matches(row, view.filter)
        if not (here or _has_match(branch.below, view.filter)):
            continue
        # What is looked for is seen, whatever is folded.
        is_open = view.is_open(row.key) or not here
        yield Shown(row, depth, is_open if branch.below else None)
        if is_open:
            yield from _below(branch.below, view, depth + 1, is_kept=here)


def matches(row: Row, text: str) -> bool:
    """Say whether a row is looked for: by its name, its state, its process, or what is said of it."""
    words = (row.name, row.state, row.about, "" if row.pid is None else str(row.pid))
    return any(text.lower() in word.lower() for word in words)


def _has_match(branches: Iterable[Branch], text: str) -> bool:
    return any(matches(branch.row, text) or _has_match(branch.below, text) for branch in branches)


def _sorted(branches: Iterable[Branch], view: View) -> list[Branch]:
    value = SORTS[view.sort]
    sign = 1 if view.is_upwards else -1

    def order(branch: Branch) -> tuple[bool, float, float]:
        found = value(branch.row)
        return found is None, sign * (found or 0), branch.row.place

    return sorted(branches, key=order)
