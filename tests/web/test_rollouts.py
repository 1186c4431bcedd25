# Rollouts as a page shows them. Pure.

from __future__ import annotations

from typing import Any

import pytest

from bigtop.web.rules import actions, rollouts

ARTIFACT = {"kind": "git", "source": "https://git.example/shop.git", "hash": "8" * 40}


def row(phase: str, wave: int = 1, previous: int = 1, **outcomes: str) -> dict[str, Any]:
    waves = [["a"], ["b", "c"], ["d"]]
    facts = {"number": 7, "old": 1, "new": 2, "reason": "", "wave": wave, "waves": waves}
    rollout = {**facts, "phase": phase, "outcomes": outcomes}
    app = {"stable": 2, "previous": previous, "artifact": ARTIFACT, "rollout": rollout}
    return rollouts.rows({"shop": app})["shop"]


def test_waves_are_counted_and_failures_named() -> None:
    found = row("running", a="healthy", b="refused")
    assert [(one["at"], one["nodes"], one["healthy"], one["failures"]) for one in found["waves"]] == [
        ("past", 1, 1, 0),
        ("now", 2, 0, 1),
        ("next", 1, 0, 0),
    ]
    assert found["waves"][1]["failed"] == [["b", "refused"]]
    assert (found["level"], found["artifact"]) == ("busy", "git https://git.example/shop.git")
    assert "wave 2 of 3, 1 of 4 nodes healthy" in found["words"]


def test_many_failures_are_counted() -> None:
    nodes = [f"n{number}" for number in range(100)]
    rollout = {"number": 1, "old": 0, "new": 1, "reason": "", "wave": 0, "waves": [nodes], "phase": "stopped"}
    app = {"stable": 0, "previous": 0, "artifact": None}
    told = {**app, "rollout": {**rollout, "outcomes": dict.fromkeys(nodes, "lost")}}
    (wave,) = rollouts.rows({"shop": told})["shop"]["waves"]
    assert (wave["failures"], len(wave["failed"]), wave["at"]) == (100, 20, "past")


@pytest.mark.parametrize(
    ("phase", "can"),
    [
        ("running", ["pause", "abort"]),
        ("paused", ["resume", "abort"]),
        ("waiting", ["promote", "abort"]),
        ("stopped", ["abort"]),
        ("reverting", []),
        ("done", ["revert"]),
        ("reverted", ["revert"]),
    ],
)
def test_what_can_be_done_is_an_action(phase: str, can: list[str]) -> None:
    assert row(phase)["can"] == can
    for what in can:
        order = actions.read({"do": what, "daemon": "prod", "app": "shop"})
        assert (order.action.command, order.properties["app"]) == ("steer", "shop")
    assert row("done", previous=2)["can"] == []


def test_an_application_without_a_rollout() -> None:
    app = {"stable": 0, "previous": 0, "artifact": None, "rollout": None}
    found = rollouts.rows({"shop": app})["shop"]
    assert (found["waves"], found["can"], found["words"]) == ([], [], "no rollout yet")
