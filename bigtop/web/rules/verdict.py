# Verdict on all that runs: one line, and what needs attention, the worst first.
#
# Rule: pure; time is an argument. What is told here is told for a reason that a person can act on, and with
# the place to go. Nothing is told twice for one cause.

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from bigtop.control.events import topic_word
from bigtop.record import Record
from bigtop.top.model.node import Node

BAD, WARN = "bad", "warn"
SLOW: Final = 10.0  # seconds, after which a request needs a look
RECENT: Final = 600.0  # seconds for which something that happened needs a look
_ERRORS, _MANY_ERRORS = 0.01, 0.05  # of the requests
_ENDS: Final = ("died", "spawn_failed")
_MOST: Final = 50
_SHOWN: Final = 200  # characters of a reason


class Happened(Record):
    """An event of a supervisor; `at` is POSIX time."""

    daemon: str
    watcher: str  # as topics have it; "": the supervisor itself
    name: str
    at: float
    facts: Mapping[str, Any]


class Concern(Record):
    """Something that needs attention. `watcher` "": the daemon itself. `since` is POSIX time, if known."""

    level: str
    daemon: str
    watcher: str
    what: str
    since: float | None = None
    page: str = "watcher"  # that tells more

    @property
    def order(self) -> tuple[bool, str, str]:
        return self.level != BAD, self.daemon, self.watcher


def concerns(
    nodes: Sequence[Node],
    tiles: Mapping[str, Mapping[str, Any]],
    running: Iterable[Mapping[str, Any]],
    events: Iterable[Happened],
    wall: float,
) -> list[Concern]:
    """Return what needs attention. `tiles` and `running` are rows of facts.py, for the same nodes."""
    found = [*_daemons(nodes, wall)]
    away = {concern.daemon for concern in found}
    news = tuple(events)
    ends = {(one.daemon, one.watcher): one for one in news if one.name in _ENDS}
    for tile in tiles.values():
        if tile["daemon"] not in away:
            found += _watcher(tile, ends.get((tile["daemon"], topic_word(tile["name"]))))
    found += _slow(running, wall, away)
    told = {(one.daemon, topic_word(one.watcher)) for one in found if one.page == "watcher"}
    # How a process ended is told with the watcher that lacks one.
    found += _happened(
        (one for one in news if one.name not in _ENDS or (one.daemon, one.watcher) not in told), tiles, wall
    )
    return sorted(found, key=lambda one: one.order)[:_MOST]


def line(nodes: Sequence[Node], tiles: Mapping[str, Any], found: Sequence[Concern]) -> dict[str, str]:
    """Return the verdict: its level ("good", "warn", "bad", "asked"), and its words."""
    if not any(node.overview or node.trouble for node in nodes):
        return {"level": "asked", "words": "Asking…"}
    bad = sum(one.level == BAD for one in found)
    warn = len(found) - bad
    if bad:
        rest = f", {_many(warn, 'thing')} to look at" if warn else ""
        return {"level": BAD, "words": f"{_many(bad, 'problem')}{rest}"}
    if warn:
        return {"level": WARN, "words": f"{_many(warn, 'thing')} to look at"}
    count = len(tiles)
    return {
        "level": "good",
        "words": f"All is well: {_many(count, 'watcher')} as wanted" if count else "Nothing runs yet",
    }


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _daemons(nodes: Sequence[Node], wall: float) -> Iterator[Concern]:
    for node in nodes:
        if node.trouble:
            yield Concern(BAD, node.name, "", f"does not answer: {node.trouble}"[:_SHOWN], page="front")


def _watcher(tile: Mapping[str, Any], end: Happened | None) -> Iterator[Concern]:
    def concern(level: str, what: str) -> Concern:
        return Concern(level, tile["daemon"], tile["name"], what)

    state, ready, wanted = tile["state"], tile["ready"], tile["wanted"]
    ends = tile["restarts"] or 0
    if state == "active" and ready < wanted:
        why = f": {_end(end)}" if ends and end is not None else ""
        yield concern(WARN if ready else BAD, f"{ready} of {wanted} {_noun(tile)} are ready{why}")
    elif state == "starting" and not ready and wanted and ends:
        yield concern(BAD, "does not get ready" + (f": {_end(end)}" if end is not None else ""))
    rate, errors = tile["rate"] or 0.0, tile["errors"] or 0.0
    if errors > 0 and errors >= max(rate, errors) * _ERRORS:
        share = min(1.0, errors / max(rate, errors))
        yield concern(BAD if share >= _MANY_ERRORS else WARN, f"{share:.0%} of the answers are errors (5xx)")
    elif (tile["queue"] or 0) > 0 and tile["places"] and (tile["calls"] or 0) >= tile["places"]:
        waiting = _many(tile["queue"], "request")
        yield concern(WARN, f"all {tile['places']} places are busy, {waiting} waiting")


def _noun(tile: Mapping[str, Any]) -> str:
    return "workers" if tile["kind"] == "app" else "processes"


def _end(end: Happened) -> str:
    """Say how the last process ended that did."""
    if end.name == "spawn_failed":
        return str(end.facts.get("reason"))[:_SHOWN]
    code = end.facts.get("exit_code")
    how = f"signal {-code}" if isinstance(code, int) and code < 0 else f"status {code}"
    if end.facts.get("out_of_memory"):
        how = "lack of memory"
    deaths, wait = end.facts.get("deaths"), end.facts.get("retry_in")
    again = f", {deaths} times in a row; the next try is in {wait:.0f} s" if deaths and wait else ""
    return f"the last one ended with {how}{again}"


def _slow(running: Iterable[Mapping[str, Any]], wall: float, away: set[str]) -> Iterator[Concern]:
    for one in running:
        if wall - one["began"] >= SLOW and one["daemon"] not in away:
            what = f"{one['method']} {one['path']} has been running"[:_SHOWN]
            yield Concern(WARN, one["daemon"], one["watcher"], what, one["began"], "requests")


def _happened(
    events: Iterable[Happened], tiles: Mapping[str, Mapping[str, Any]], wall: float
) -> Iterator[Concern]:
    """Yield the newest of each watcher that nothing good has followed."""
    names = {(tile["daemon"], topic_word(tile["name"])): tile["name"] for tile in tiles.values()}
    last: dict[tuple[str, str], Happened] = {}
    for event in events:
        key = (event.daemon, event.watcher)
        if event.name in ("reload", "recovered", "start", "stop"):
            last.pop(key, None)
        elif event.name in _TELL and wall - event.at < RECENT:
            last[key] = event
    for (daemon, word), event in last.items():
        level, words = _TELL[event.name]
        if event.name == "died" and not _is_news(event):
            continue
        what = words.format_map(_Facts(event.facts))[:_SHOWN]
        yield Concern(level, daemon, names.get((daemon, word), word), what, event.at, "events")


_TELL: Final[Mapping[str, tuple[str, str]]] = {
    "reload_failed": (BAD, "the reload failed, generation {kept} goes on: {reason}"),
    "fork_server_died": (WARN, "the fork server of generation {generation} died: {reason}"),
    "recovery_failed": (BAD, "nothing can be started, generation {generation} cannot run: {reason}"),
    "gave_up": (BAD, "was given up: {reason}"),
    "spawn_failed": (BAD, "cannot be started: {reason}"),
    "stuck": (WARN, "{reason}"),
    "degraded": (WARN, "{reason}"),
    "short": (WARN, "{reason}"),
    "died": (WARN, "a process ended by itself (status {exit_code})"),
    "hook_failure": (WARN, "its hook {name} failed: {error}"),
    "certificate_failed": (BAD, "no certificate for {names}: {reason}"),
    "certificate_ends": (WARN, "the certificate for {names} ends in {days} days"),
}


class _Facts(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "?"


def _is_news(event: Happened) -> bool:
    return event.facts.get("exit_code") != 0 or bool(event.facts.get("out_of_memory"))
