# What needs attention, in one line and in a list; and the rows that pages show. Pure.

from __future__ import annotations

from typing import Any

import pytest

from bigtop.top.model.node import Node
from bigtop.top.model.rows import tree
from bigtop.web.rules import facts, verdict
from bigtop.web.rules.facts import Clock
from bigtop.web.rules.verdict import Happened

NOW, WALL = 100.0, 1_800_000_000.0


def process(pid: int, wid: int = 1, state: str = "ready") -> dict[str, Any]:
    return {"pid": pid, "wid": wid, "state": state, "generation": 1, "age": 7.25}


def watcher(name: str = "web", kind: str = "app", **other: Any) -> dict[str, Any]:
    said = {
        "name": name,
        "kind": kind,
        "status": "active",
        "wanted": 1,
        "ready": 1,
        "generation": 1,
        "starts": 1,
    }
    said |= {
        "threads": 1 if kind == "app" else None,
        "exits": {},
        "reloads": 0,
        "failed_reloads": 0,
        "dropped": 0,
    }
    return said | {"processes": [process(10)]} | other


def request(seconds: float = 0.5, **other: Any) -> dict[str, Any]:
    said = {
        "watcher": "web",
        "pid": 10,
        "wid": 1,
        "id": "r1",
        "method": "GET",
        "path": "/x",
        "client": "10.0.0.1",
    }
    return said | {"phase": "app", "seconds": seconds} | other


def node(*watchers: dict[str, Any], name: str = "site", requests: list[dict[str, Any]] | None = None) -> Node:
    made = Node(name)
    overview = {
        "pid": 1,
        "version": "1",
        "stats_endpoint": "x",
        "watchers": list(watchers),
        "own": [],
        "sockets": [],
    }
    made.hear(overview, requests or [], NOW)
    made.begin("stats process")
    return made


def found(*nodes: Node, events: tuple[Happened, ...] = ()) -> tuple[str, list[tuple[str, str, str]]]:
    at = Clock(NOW, WALL)
    tiles, running = facts.front(nodes, tree(nodes), at), facts.requests(nodes, at)
    concerns = verdict.concerns(nodes, tiles, running.values(), events, WALL)
    words = verdict.line(nodes, tiles, concerns)["words"]
    return words, [(one.level, one.watcher or one.daemon, one.what) for one in concerns]


def test_nothing_is_known_at_first() -> None:
    assert found(Node("site")) == ("Asking…", [])


def test_all_is_well() -> None:
    assert found(node(watcher(), watcher("b"))) == ("All is well: 2 watchers as wanted", [])
    assert found(node())[0] == "Nothing runs yet"


def test_a_daemon_that_is_away_is_one_problem_and_not_one_for_each_watcher() -> None:
    gone = node(watcher(ready=0), requests=[request(99.0)])
    gone.lose("nobody answers")
    words, concerns = found(gone, node(watcher(), name="other"))
    assert words == "1 problem"
    assert concerns == [("bad", "site", "does not answer: nobody answers")]


END = "the last one ended with signal 9, 3 times in a row; the next try is in 4 s"
DIED = Happened("site", "web", "died", WALL - 5, {"exit_code": -9, "deaths": 3, "retry_in": 4.0})


@pytest.mark.parametrize(
    ("said", "level", "what"),
    [
        ({"ready": 0, "wanted": 2}, "bad", "0 of 2 workers are ready"),
        ({"ready": 1, "wanted": 2}, "warn", "1 of 2 workers are ready"),
        (
            {"ready": 0, "exits": {"signal": 3}},
            "bad",
            f"0 of 1 workers are ready: {END}",
        ),
        (
            {"ready": 0, "status": "starting", "exits": {"exit": 1}},
            "bad",
            f"does not get ready: {END}",
        ),
    ],
)
def test_a_watcher_that_is_not_as_wanted(said: dict[str, Any], level: str, what: str) -> None:
    events = (DIED,) if said.get("exits") else ()
    assert found(node(watcher(**said)), events=events)[1] == [(level, "web", what)]


@pytest.mark.parametrize("said", [{"status": "stopped", "ready": 0}, {"status": "starting", "ready": 0}])
def test_a_watcher_that_somebody_stopped_or_started_is_well(said: dict[str, Any]) -> None:
    assert found(node(watcher(**said)))[1] == []


def counted(**counts: Any) -> Node:
    made = node(watcher())
    made.measure("http.web", {"requests_per_second": 100.0, **counts}, NOW)
    return made


def test_errors_and_requests_that_wait() -> None:
    assert found(counted(windows={"10": {"errors_per_second": 0.5}}))[1] == []
    assert found(counted(windows={"10": {"errors_per_second": 2.0}}))[1] == [
        ("warn", "web", "2% of the answers are errors (5xx)")
    ]
    assert found(counted(windows={"10": {"errors_per_second": 50.0}}))[1][0][0] == "bad"
    assert found(counted(busy=1, waiting=3))[1] == [
        ("warn", "web", "all 1 places are busy, 3 requests waiting")
    ]


def test_a_request_that_has_been_running_for_long() -> None:
    assert found(node(watcher(), requests=[request(9.0)]))[1] == []
    assert found(node(watcher(), requests=[request(11.0)]))[1] == [("warn", "web", "GET /x has been running")]


@pytest.mark.parametrize(
    ("event", "level", "what"),
    [
        (
            ("reload_failed", {"kept": 1, "reason": "SyntaxError"}),
            "bad",
            "the reload failed, generation 1 goes on: SyntaxError",
        ),
        (("gave_up", {"reason": "too often"}), "bad", "was given up: too often"),
        (("died", {"exit_code": 1}), "warn", "a process ended by itself (status 1)"),
        (
            ("certificate_ends", {"names": ["a"], "days": 3}),
            "warn",
            "the certificate for ['a'] ends in 3 days",
        ),
    ],
)
def test_what_happened_is_told_until_something_good_follows(
    event: tuple[str, dict[str, Any]], level: str, what: str
) -> None:
    name, said = event
    happened = Happened("site", "web", name, WALL - 60, said)
    site = node(watcher())
    assert found(site, events=(happened,))[1] == [(level, "web", what)]
    good = Happened("site", "web", "reload", WALL - 30, {"generation": 2})
    assert found(site, events=(happened, good))[1] == []
    old = Happened("site", "web", name, WALL - verdict.RECENT - 1, said)
    assert found(site, events=(old,))[1] == []


def test_problems_come_first_and_are_counted() -> None:
    site = node(watcher("a", ready=1, wanted=2), watcher("b", ready=0))
    words, concerns = found(site)
    assert words == "1 problem, 1 thing to look at"
    assert [one[1] for one in concerns] == ["b", "a"]


# ---- rows


def test_a_row_stays_the_same_while_nothing_happens() -> None:
    site = node(watcher(), requests=[request(3.0)])
    before = facts.watcher(site, "web", Clock(NOW, WALL))
    later = node(watcher(processes=[process(10) | {"age": 9.25}]), requests=[request(5.0)])
    assert facts.watcher(later, "web", Clock(NOW + 2, WALL + 2)) == before
    assert facts.watcher(site, "other", Clock(NOW, WALL)) is None


def test_the_past_is_the_coarse_and_then_the_fine_one() -> None:
    columns = ["time", "processes", "cpu", "rss", "pss", "threads"]
    said = {
        "columns": columns,
        "fine": [[20.0, 2.0, 5.0, 100.0, 0.0, 4.0]],
        "coarse": [[10.0, 1.0, 3.0, 90.0, 50.0, 4.0], [20.0, 9.0, 9.0, 9.0, 9.0, 9.0]],
    }
    points = facts.past(said)
    assert [point[:4] for point in points] == [[10.0, 3.0, 50.0, 1.0], [20.0, 5.0, 100.0, 2.0]]
    assert {len(point) for point in points} == {len(facts.COLUMNS)}
    assert facts.past({}) == []
    requests = {
        "columns": ["time", "rate", "errors", "p50", "p99", "queue_p99", "busy", "waiting"],
        "fine": [[20.0, 7.0, 1.0, 0.1, 0.2, None, 3.0, 0.0], [21.0, 8.0, 0.0, None, None, None, 3.0, 0.0]],
        "coarse": [[10.0, 5.0, 0.5, 0.1, 0.9, 0.3, 4.0, 1.0], [20.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0]],
    }
    assert [
        dict(zip(facts.COLUMNS, one, strict=True)) for one in facts.past({**said, "requests": requests})
    ] == [
        {
            "time": 10.0,
            "cpu": 3.0,
            "memory": 50.0,
            "processes": 1.0,
            "rate": 5.0,
            "errors": 0.5,
            "p50": 0.1,
            "p99": 0.9,
            "queue_p99": 0.3,
            "busy": 4.0,
            "waiting": 1.0,
        },
        {
            "time": 20.0,
            "cpu": 5.0,
            "memory": 100.0,
            "processes": 2.0,
            "rate": 7.0,
            "errors": 1.0,
            "p50": 0.1,
            "p99": 0.2,
            "queue_p99": None,
            "busy": 3.0,
            "waiting": 0.0,
        },
        {
            "time": 21.0,
            "cpu": None,
            "memory": None,
            "processes": None,
            "rate": 8.0,
            "errors": 0.0,
            "p50": None,
            "p99": None,
            "queue_p99": None,
            "busy": 3.0,
            "waiting": 0.0,
        },
    ]


def test_the_past_of_a_stats_process_stands_between_our_own_points() -> None:
    def at(*times: float) -> list[list[float | None]]:
        return [[one, None] for one in times]

    assert facts.merged([], at(1.0, 2.0)) == at(1.0, 2.0)
    assert facts.merged(at(1.0, 2.0), []) == at(1.0, 2.0)
    assert facts.merged(at(10.0, 20.0), at(5.0, 11.0, 20.0, 21.0)) == at(5.0, 10.0, 20.0, 21.0)


def test_requests_come_with_the_longest_first() -> None:
    site = node(watcher(), requests=[request(1.0, id="a"), request(4.0, id="b")])
    rows = list(facts.requests([site], Clock(NOW, WALL)).values())
    assert [row["id"] for row in rows] == ["b", "a"]
    assert rows[0]["began"] == WALL - 4
