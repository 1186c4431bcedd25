# Deploys as pages show them, out of events and of processes. Pure.

from __future__ import annotations

from typing import Any

from bigtop.web.rules import deploys
from bigtop.web.rules.verdict import Happened


def event(name: str, at: float, **facts: Any) -> Happened:
    return Happened("site", "web", name, at, facts)


def row(generation: int | None, *workers: tuple[int | None, str]) -> dict[str, Any]:
    found = [{"generation": number, "state": state} for number, state in workers]
    return {"generation": generation, "wanted": 2, "workers": found}


def steps(found: dict[str, Any] | None) -> list[tuple[str, str]]:
    assert found is not None
    return [(one["what"], one["state"]) for one in found["steps"]]


QUIET = row(1, (1, "ready"), (1, "ready"))
BEGUN = event("verify", 10.0, generation=2, step="health check")
PASSED = event("passed", 12.0, generation=2, step="health check", how="GET / with 200")
NEXT = event("verify", 12.0, generation=2, step="canary time")


def test_where_nothing_was_deployed_there_is_nothing() -> None:
    assert deploys.latest(QUIET, []) is None
    assert deploys.latest(row(None, (None, "ready")), [event("start", 1.0), event("died", 2.0)]) is None


def test_steps_begin_pass_and_follow_each_other() -> None:
    found = deploys.latest(row(2, (1, "ready"), (1, "ready"), (2, "ready")), [BEGUN, PASSED, NEXT])
    assert steps(found) == [("load the code", "done"), ("health check", "done"), ("canary time", "running")]
    assert found is not None
    assert (found["generation"], found["state"], found["began"]) == (2, "running", 10.0)
    check = found["steps"][1]
    assert (check["began"], check["ended"], check["about"]) == (10.0, 12.0, "GET / with 200")


def test_without_steps_processes_tell() -> None:
    loading = deploys.latest(row(2, (1, "ready"), (1, "ready")), [])
    assert steps(loading) == [("load the code", "running")]
    starting = deploys.latest(row(2, (1, "ready"), (1, "ready"), (2, "starting")), [])
    assert steps(starting) == [("load the code", "done")]
    half = deploys.latest(row(2, (1, "ready"), (2, "ready")), [])
    assert steps(half) == [("load the code", "done"), ("replace processes", "running")]
    assert half is not None
    assert half["steps"][-1]["about"] == "1 of 2 are new"


def test_a_deploy_ends_well() -> None:
    found = deploys.latest(row(2, (2, "ready")), [BEGUN, PASSED, event("reload", 15.0, generation=2)])
    assert steps(found) == [("health check", "done"), ("replace processes", "done")]
    assert found is not None
    assert (found["state"], found["ended"], found["reason"]) == ("done", 15.0, "")


def test_a_deploy_fails_where_it_is() -> None:
    end = event("reload_failed", 15.0, generation=2, kept=1, reason="no answer")
    found = deploys.latest(QUIET, [BEGUN, end])
    assert steps(found) == [("health check", "failed")]
    assert found is not None
    assert (found["state"], found["kept"], found["reason"]) == ("failed", 1, "no answer")
    assert deploys.latest(row(1, (1, "ready"), (2, "stopping")), [BEGUN, end]) == found
    # What failed before anything was tried.
    assert steps(deploys.latest(QUIET, [end])) == []


def test_the_newest_one_counts() -> None:
    end = event("reload_failed", 15.0, generation=2, kept=1, reason="no answer")
    again = event("verify", 20.0, generation=3, step="health check")
    found = deploys.latest(row(3, (1, "ready"), (3, "starting")), [BEGUN, end, again])
    assert found is not None
    assert (found["generation"], found["state"]) == (3, "running")
    fresh = deploys.latest(row(3, (1, "ready"), (3, "starting")), [BEGUN, end])
    assert fresh is not None
    assert (fresh["generation"], fresh["reason"]) == (3, "")
    assert deploys.latest(QUIET, [BEGUN, end, event("stop", 16.0)]) is None


def test_a_step_that_is_tried_again_begins_anew() -> None:
    again = event("verify", 13.0, generation=2, step="health check")
    found = deploys.latest(QUIET, [BEGUN, PASSED, again])
    assert steps(found) == [("health check", "running")]
    assert found is not None
    assert found["steps"][0]["began"] == 13.0
    # What passed of which nobody heard that it began.
    assert steps(deploys.latest(QUIET, [PASSED])) == [("health check", "done")]
