# What clients notice of deploys: measured with Bigtop itself, and what a table says of it.

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench import deploy, deployed, peers
from bench.cli import main
from bench.deployed import EVENTS, Outcome, Results

BIGTOP = peers.BY_NAME["bigtop"]
HERE = replace(BIGTOP, commands=(BIGTOP.commands[0].replace("$bin/bigtop", f"{sys.executable} -m bigtop"),))
LASTS = Outcome("bigtop", "good", answered=7, new_s=0.4, watched_s=10.0)


@pytest.mark.parametrize("event", ["import error", "term"])
def test_a_server_is_visited_while_something_happens_to_it(event: str) -> None:
    outcome = deploy.measure(HERE, event, 0.5, 1.0)
    assert outcome.problem == ""
    assert outcome.answered
    assert (outcome.lost, outcome.failed, outcome.wrong, outcome.ended) == (0, 0, 0, None)
    assert outcome.well == "always"


def test_a_server_that_does_not_come_up_is_told_with_its_words() -> None:
    broken = replace(HERE, commands=(f"{sys.executable} -c 'raise OSError(12345)'",))
    assert "OSError: 12345" in deploy.measure(broken, "kill", 0.1, 0.1).problem


@pytest.mark.parametrize(
    ("outcome", "well"),
    [
        (LASTS, "always"),
        (replace(LASTS, lost=1), "after 0.0 s"),
        (replace(LASTS, failed=1, well_s=1.25), "after 1.2 s"),
        (replace(LASTS, well_s=None), "not within 10 s"),
        (replace(LASTS, well_s=None, ended=1), "it has ended"),
    ],
)
def test_when_all_is_well_is_told(outcome: Outcome, well: str) -> None:
    assert outcome.well == well


def test_results_are_kept_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine = {"cpu": "one", "cores": 2, "kernel": "6", "python": "3", "commit": "abc"}
    results = Results("2026-11-30T12:00:00", 40.0, machine, {"gunicorn": "27"}, {"uvicorn": "no network"})
    results.outcomes = [LASTS, Outcome("granian", "kill", problem="it did not come up")]
    file = tmp_path / "deploys.json"
    results.save(file)
    assert deployed.Results.load(file) == results
    assert main(["table", str(file), "--markdown"]) == 0
    shown = capsys.readouterr().out
    assert "## Three reloads to good code" in shown
    assert "| bigtop | 7 | 0 | 0 | 0 | 0 | 0.4 s | always |" in shown
    assert "- left out: uvicorn: no network\n- granian, kill: it did not come up" in shown


def test_each_event_can_be_asked_for() -> None:
    assert EVENTS.keys() == {*deploy.RELOADS, "kill", "term"}
    assert deploy.WRITTEN.keys() == set(deploy.RELOADS)
    assert main(["deploy", "--events", "flood"]) == 2
