# Process managers under the bench: a small crowd through a whole life, and what is shown of it.

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench import managers, supervise, supervised, workshop
from bench.cli import main
from bench.managers import Crowd
from bench.supervised import Chatter, Life, Results

BIGTOP = replace(
    managers.BY_NAME["bigtop"], command=f"{sys.executable} -m bigtop run $dir/circus.ini", rhythm=0.0
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "CALM_SECONDS", 0.1)


def test_a_crowd_is_started_asked_killed_and_stopped() -> None:
    life = supervise.live(BIGTOP, Crowd(3, "/bin/sleep 60", "sleep"), 0.1)
    assert life.problem == ""
    assert len(life.respawn_ms) == 3
    assert len(life.stats_ms) == supervise.STATS_QUESTIONS
    figures = (
        life.ready_s,
        life.start_s,
        life.spawn_s,
        life.rss,
        life.pss,
        life.beside_stats_ms,
        life.stop_s,
    )
    assert all(figures)
    assert life.idle_cpu is not None


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_a_crowd_that_talks_is_written_down() -> None:
    program = workshop.ensure_program("load/chatter.c")
    crowd = Crowd(3, f"{program} 50 60", program.name, talks=True)
    chatter = supervise.chat(BIGTOP, crowd, 50, 1.0)
    assert chatter.problem == ""
    assert chatter.answer_ms
    assert chatter.lines_per_second


def test_a_manager_that_does_not_come_up_is_told_with_its_words() -> None:
    broken = replace(BIGTOP, command=f"{sys.executable} -c 'raise OSError(12345)'")
    life = supervise.live(broken, Crowd(1, "/bin/sleep 60", "sleep"), 0.1)
    assert "OSError: 12345" in life.problem


@pytest.mark.parametrize("manager", managers.MANAGERS, ids=lambda manager: manager.name)
@pytest.mark.parametrize("talks", [True, False])
def test_files_have_everything_filled_in(manager: managers.Manager, talks: bool, tmp_path: Path) -> None:
    manager.write(Crowd(7, "/bin/sleep 60", "sleep", talks), tmp_path)
    text = (tmp_path / manager.file).read_text()
    assert "$" not in text
    assert (str(tmp_path / "output") in text) is talks


@pytest.fixture
def results() -> Results:
    machine = {"cpu": "a CPU", "cores": 2, "kernel": "6", "python": "3.11", "load_average_at_start": [0.5]}
    fast = Life("bigtop", 1000, 0.5, 1.5, 1.0, 0.0005, 2**25, 2**24, [1.0], [200.0], 5.0, [9.0, 7.0], 1.0)
    slow = Life("other", 1000, problem="no answer to start")
    answers = [float(number) for number in range(1, 101)]
    chatters = [Chatter("bigtop", 200, 50, answers, 10_000.0, 0.5)]
    return Results(
        "2026-01-01T00:00:00+00:00", 30.0, 50, machine, {"bigtop": "1"}, {}, [fast, slow], chatters
    )


def test_the_table_has_medians_ratios_and_problems(results: Results, tmp_path: Path) -> None:
    file = tmp_path / "new" / "result.json"
    results.save(file)
    text = supervised.render(supervised.Results.load(file))
    assert text == supervised.render(results)
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.startswith("  ")}
    assert "1,000 processes" in text
    assert "other, 1000 processes: no answer to start" in text
    assert rows["other"] == ["-"] * len(supervised.LIFE_COLUMNS)
    assert rows["bigtop"] == ["50.0", "99.0", "100.0", "10,000", "50"]
    life = next(line for line in text.splitlines() if line.startswith("  bigtop"))
    assert " ".join(life.split()) == "bigtop 0.50 1.50 1.50 0.050 32.0 16.0 1.0 200 5.0 8.0 1.00"


def test_a_result_is_printed_again(
    results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "result.json"
    results.save(file)
    assert main(["table", str(file), "--markdown"]) == 0
    assert "## 1,000 processes" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options", [["--managers", "nobody"], ["--seconds", "0"], ["--chatter-rate", "0"], ["--counts", "0"]]
)
def test_what_cannot_be_measured_is_refused(options: list[str]) -> None:
    assert main(["supervise", *options]) == 2
