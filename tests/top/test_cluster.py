# What `bigtop top --cluster` shows: rows, the verdict, lines and JSON of what a controller tells.

from __future__ import annotations

import json
from typing import Any

import pytest

from bigtop.cluster.policy import overview
from bigtop.top.cluster import sheet
from bigtop.top.cluster.sheet import SORTS, View
from bigtop.top.model import words
from bigtop.top.screen import text_of

FIGURES = {"requests": 100, "errors": 0, "p99": 0.02, "respawns": 0}


def node(state: str = "alive", /, **changes: Any) -> dict[str, Any]:
    condition, why = changes.pop("condition", "applied"), changes.pop("why", "")
    app = {"number": 4, "revision": 2, "condition": condition, "why": why, "figures": FIGURES}
    load = {"busy": 1, "places": 4, "rate": 10.0, "errors": 0.0, "p99": 0.02}
    return {
        "state": state,
        "tags": ["web"],
        "cordoned": changes.pop("cordoned", False),
        "version": "1",
        "apps": {"shop": app},
        "watchers": {"shop": ["active", 1, 1]},
        "loads": {"shop": {**load, **changes}},
        "alarms": [],
    }


def rollout(phase: str, **changes: Any) -> dict[str, Any]:
    waves = [["n0001"], ["n0002", "n0003"]]
    return {
        "number": 4,
        "old": 1,
        "new": 2,
        "waves": waves,
        "wave": 1,
        "phase": phase,
        "reason": "",
        "outcomes": {"n0001": "healthy"},
        **changes,
    }


def told(nodes: dict[str, Any], last: dict[str, Any] | None = None) -> dict[str, Any]:
    app = {"stable": 2, "previous": 1, "artifact": None, "rollout": last}
    return {"cluster": "prod", "leader": "a", "epoch": 3, "nodes": nodes, "apps": {"shop": app}}


def fleet(count: int) -> dict[str, Any]:
    return {f"n{number:04}": node() for number in range(count)}


def verdict(said: dict[str, Any]) -> tuple[str, str]:
    rows = overview.rows(said)
    return overview.verdict(rows, overview.concerns(said, rows))


def test_one_line_tells_of_a_thousand_nodes() -> None:
    nodes = fleet(1000)
    assert verdict(told(nodes, rollout("done"))) == ("good", "All is well: 1,000 nodes")
    nodes["n0007"] = node("lost")
    assert verdict(told(nodes)) == ("bad", "1 node is lost: n0007")
    nodes |= {f"n{number:04}": node("lost") for number in range(100, 250)}
    assert verdict(told(nodes)) == ("bad", "151 nodes are lost: n0007, n0100, n0101 and 148 more")
    nodes["n0400"] = node("suspect")
    level, text = verdict(told(nodes))
    assert (level, text.partition(", and ")[2]) == ("bad", "1 thing more to look at")


@pytest.mark.parametrize(
    ("one", "level", "what"),
    [
        (node("suspect"), "warn", "1 node is silent: n"),
        (node(condition="refused", why="no module"), "bad", "1 node is not at what was assigned: n"),
        (node(errors=0.2), "warn", "1 node is answering 1% or more with errors (5xx): n"),
        (node(errors=0.6), "bad", "1 node is answering 5% or more with errors (5xx): n"),
        (node(busy=4), "warn", "1 node is busy at every place: n"),
        ({**node(), "alarms": ["two agents"]}, "warn", "1 node is in doubt: n: two agents"),
    ],
)
def test_what_needs_a_look(one: dict[str, Any], level: str, what: str) -> None:
    assert verdict(told({"n": one})) == (level, what)


@pytest.mark.parametrize(
    ("last", "level", "what"),
    [
        (rollout("running"), "warn", "is running, wave 2 of 2, 1 of 3 nodes healthy"),
        (rollout("waiting"), "warn", "1 of 3 nodes healthy: somebody has to promote it"),
        (rollout("reverting", reason="n0001 is lost"), "bad", "1 of 3 nodes healthy: n0001 is lost"),
        (rollout("stopped", reason="slow"), "bad", "shop: rollout 4 of revision 2 is stopped: slow"),
        (rollout("reverted", reason="slow"), "warn", "shop: rollout 4 of revision 2 is reverted: slow"),
    ],
)
def test_a_rollout_that_is_not_done_is_told_of(last: dict[str, Any], level: str, what: str) -> None:
    found = verdict(told(fleet(3), last))
    assert found[0] == level
    assert found[1].endswith(what)


def test_nobody_has_joined() -> None:
    assert verdict(told({}))[0] == "warn"


def test_what_needs_a_look_stands_first() -> None:
    nodes = {"a": node(), "b": node("lost"), "c": node(condition="changing"), "d": node(condition="refused")}
    assert [row.state for row in overview.rows(told(nodes))] == ["lost", "refused", "changing", "alive"]


def test_figures_of_what_is_lost_are_not_believed() -> None:
    rows = overview.rows(told({"a": node(), "b": node("lost"), "c": {**node(), "loads": {}}}))
    sums = overview.totals(rows)
    assert (sums.nodes, sums.heard, sums.busy, sums.places, sums.rate) == (3, 2, 1, 4, 10.0)
    assert {row.name: row.rate for row in rows} == {"a": 10.0, "b": None, "c": None}


def test_a_node_without_a_stats_process_has_no_rate() -> None:
    row = overview.rows(told({"a": node(rate=None, errors=None, p99=None)}))[0]
    assert (row.rate, row.errors, row.p99, row.busy) == (None, None, None, 1)


@pytest.mark.parametrize("size", [(80, 24), (40, 8), (200, 60), (14, 4), (1, 1)])
@pytest.mark.parametrize("sort", list(SORTS))
def test_lines_fit_and_the_rest_is_counted(size: tuple[int, int], sort: str) -> None:
    nodes = fleet(1000) | {"n0500": node("lost"), "n0501": node(condition="refused", why="é" * 300)}
    lines = sheet.lines(told(nodes, rollout("running")), View(sort=sort), size)
    assert len(lines) <= size[1]
    assert all(words.cells(text_of(line)) == size[0] for line in lines)
    if size == (80, 24):
        head = [text_of(line).strip() for line in lines]
        assert "nodes 999/1000" in head[0]
        assert head[1].startswith("1 node is lost")
        assert head[2:5] == [one.what for one in overview.concerns(*both(nodes))]
        assert head[-1] == "... and 983 nodes more"


def both(nodes: dict[str, Any]) -> tuple[dict[str, Any], list[overview.NodeRow]]:
    said = told(nodes, rollout("running"))
    return said, overview.rows(said)


def test_sorting_turning_and_looking_for() -> None:
    nodes = {"a": node(rate=5.0), "b": node(rate=50.0), "c": node("lost"), "d": node(cordoned=True)}
    rows = overview.rows(told(nodes))

    def names(view: View) -> str:
        return "".join(row.name for row in sheet.arranged(rows, view))

    assert names(View()) == "cabd"
    assert names(View(sort="rate")) == "bdac"
    assert names(View(sort="rate").turn()) == "adbc"
    assert names(View(sort="name").turn()) == "dcba"
    assert names(View(filter="cordoned")) == "d"
    assert names(View(filter="LOST")) == "c"
    assert View().by_neighbour(-1).sort == "p99"
    assert View(sort="p99", turned=True).by_neighbour(1) == View()


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.0, "0%"), (0.003, "0.3%"), (0.12, "12%"), (1, "100%")]
)
def test_shares(value: float | None, text: str) -> None:
    assert sheet.share(value) == text


def test_the_report_is_json() -> None:
    said = told(fleet(2), rollout("stopped", reason="slow"))
    found = json.loads(json.dumps(sheet.report(said, View(), 12.3456)))
    assert (found["time"], found["cluster"], found["verdict"]["level"]) == (12.346, "prod", "bad")
    assert found["concerns"] == [
        {"level": "bad", "what": "shop: rollout 4 of revision 2 is stopped: slow", "app": "shop"}
    ]
    assert found["nodes"][0]["revision"] == "2"
    assert found["nodes"][0]["tags"] == ["web"]
