# Overview of a cluster for people: a row for each node, what needs attention, and one line on all of it.
#
# Rules: pure. It is made of what the leading controller tells (`status`). However many nodes there are, what
# they have in common is told once, with how many they are and the first of them by name.

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from bigtop.record import Record

GOOD, WARN, BAD = "good", "warn", "bad"
_ERRORS, _MANY_ERRORS = 0.01, 0.05  # of the answers
_NAMED: Final = 3  # nodes that are named where many are meant
_SHOWN: Final = 200  # characters of a reason
_UNDER_WAY: Final = ("running", "paused", "waiting", "reverting")

Told = Mapping[str, Any]


class NodeRow(NamedTuple):
    """One node. `state` is that of the node while it is not alive, else that of its applications; `errors`
    is the share of answers with a 5xx; `rate` is per second, `p99` in seconds. None: nobody knows."""

    name: str
    state: str
    revision: str = ""
    busy: int | None = None
    places: int | None = None
    rate: float | None = None
    errors: float | None = None
    p99: float | None = None
    tags: tuple[str, ...] = ()
    cordoned: bool = False
    about: str = ""

    @property
    def rank(self) -> int:
        """The lower, the more it needs a look."""
        return _RANKS.get(self.state, len(_RANKS))


_RANKS: Final = {"lost": 0, "refused": 1, "suspect": 2, "changing": 3}


class Concern(Record):
    """Something that needs attention; `app` is whose rollout it is about, if it is about one."""

    level: str
    what: str
    app: str = ""


class Totals(Record):
    """Of all nodes that are heard; `errors` is a share."""

    nodes: int
    heard: int
    busy: int
    places: int
    rate: float
    errors: float


def rows(told: Told) -> list[NodeRow]:
    """Return the nodes, those first that need a look."""
    found = [_row(name, one) for name, one in told["nodes"].items()]
    return sorted(found, key=lambda row: (row.rank, row.name))


def _row(name: str, node: Told) -> NodeRow:
    apps, alarms = node["apps"], list(node["alarms"])
    conditions = {one["condition"] for one in apps.values()}
    state = str(node["state"])
    if state == "alive":
        state = next((word for word in ("refused", "changing") if word in conditions), state)
    alarms += [f"{app}: {one['why']}" for app, one in apps.items() if one["why"]]
    known = {app: f"{one['revision']}" for app, one in apps.items()}
    row = NodeRow(
        name,
        state,
        " ".join(known.values()) if len(known) == 1 else " ".join(f"{a} {r}" for a, r in known.items()),
        tags=tuple(node["tags"]),
        cordoned=bool(node["cordoned"]),
        about="; ".join(alarms)[:_SHOWN],
    )
    return row if node["state"] == "lost" else _with_loads(row, node.get("loads", {}).values())


def _with_loads(row: NodeRow, loads: Iterable[Told]) -> NodeRow:
    found = list(loads)
    if not found:
        return row
    rates = [one["rate"] for one in found if one["rate"] is not None]
    rate, failed = sum(rates), sum(one["errors"] or 0.0 for one in found)
    times = [one["p99"] for one in found if one["p99"] is not None]
    return row._replace(
        busy=sum(one["busy"] for one in found),
        places=sum(one["places"] for one in found),
        rate=rate if rates else None,
        errors=(failed / rate if rate else 0.0) if rates else None,
        p99=max(times, default=None),
    )


def totals(nodes: Sequence[NodeRow]) -> Totals:
    heard = [row for row in nodes if row.state not in ("lost", "suspect")]
    rate = sum(row.rate or 0.0 for row in heard)
    failed = sum((row.rate or 0.0) * (row.errors or 0.0) for row in heard)
    return Totals(
        len(nodes),
        len(heard),
        sum(row.busy or 0 for row in heard),
        sum(row.places or 0 for row in heard),
        rate,
        failed / rate if rate else 0.0,
    )


def concerns(told: Told, nodes: Sequence[NodeRow]) -> list[Concern]:
    """Return what needs attention, the worst first."""
    found = [*_of_nodes(nodes), *_of_rollouts(told["apps"])]
    return sorted(found, key=lambda one: one.level != BAD)


def _of_nodes(nodes: Sequence[NodeRow]) -> Iterator[Concern]:
    alive = [row for row in nodes if row.state not in ("lost", "suspect")]
    yield from _together(BAD, [row for row in nodes if row.state == "lost"], "lost")
    yield from _together(WARN, [row for row in nodes if row.state == "suspect"], "silent")
    yield from _together(BAD, [row for row in nodes if row.state == "refused"], "not at what was assigned")
    doubled = [row for row in alive if row.about and row.state == "alive"]
    yield from _together(WARN, doubled, "in doubt", why=doubled[0].about if doubled else "")
    many = [row for row in alive if (row.errors or 0.0) >= _MANY_ERRORS]
    some = [row for row in alive if _ERRORS <= (row.errors or 0.0) < _MANY_ERRORS]
    yield from _together(BAD, many, f"answering {_MANY_ERRORS:.0%} or more with errors (5xx)")
    yield from _together(WARN, some, f"answering {_ERRORS:.0%} or more with errors (5xx)")
    full = [row for row in alive if row.places and (row.busy or 0) >= row.places]
    yield from _together(WARN, full, "busy at every place")


def _together(level: str, nodes: Sequence[NodeRow], what: str, why: str = "") -> Iterator[Concern]:
    if nodes:
        named = ", ".join(row.name for row in nodes[:_NAMED])
        rest = f" and {len(nodes) - _NAMED} more" if len(nodes) > _NAMED else ""
        verb = "is" if len(nodes) == 1 else "are"
        reason = f": {why}" if why else ""
        yield Concern(level, f"{many(len(nodes), 'node')} {verb} {what}: {named}{rest}{reason}")


def _of_rollouts(apps: Mapping[str, Told]) -> Iterator[Concern]:
    for name, app in apps.items():
        rollout = app["rollout"]
        if rollout is None or rollout["phase"] == "done":
            continue
        phase, reason = rollout["phase"], str(rollout["reason"])[:_SHOWN]
        because = f": {reason}" if reason else ""
        level = BAD if phase in ("stopped", "reverting") else WARN
        if phase == "waiting":
            because = ": somebody has to promote it"
        yield Concern(level, f"{name}: {progress(rollout)}{because}", name)


def progress(rollout: Told) -> str:
    """Return how far a rollout is, in a few words."""
    healthy = sum(outcome == "healthy" for outcome in rollout["outcomes"].values())
    total = sum(map(len, rollout["waves"]))
    words = f"rollout {rollout['number']} of revision {rollout['new']} is {rollout['phase']}"
    if rollout["phase"] not in _UNDER_WAY:
        return words
    wave = min(rollout["wave"] + 1, len(rollout["waves"]))
    return f"{words}, wave {wave} of {len(rollout['waves'])}, {healthy} of {many(total, 'node')} healthy"


def verdict(nodes: Sequence[NodeRow], found: Sequence[Concern]) -> tuple[str, str]:
    """Return the level and the words of the one line on all of it."""
    if found:
        rest = f", and {many(len(found) - 1, 'thing')} more to look at" if len(found) > 1 else ""
        return found[0].level, f"{found[0].what}{rest}"
    if not nodes:
        return WARN, "No node has joined yet: bigtop cluster token"
    return GOOD, f"All is well: {many(len(nodes), 'node')}"


def many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
