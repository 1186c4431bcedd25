# From what the tools print to what a reader sees.

import json
from pathlib import Path

import pytest

from bench import generator, results, syscalls
from bench.cli import main, share_cores
from bench.results import Measured, Part, Results, Run
from bench.table import render

STRACE = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60,00    0.000600           1       801           epoll_wait
 30.00    0.000300           1       400        12 recvfrom
 10.00    0.000100           1       400           sendto
------ ----------- ----------- --------- --------- ----------------
100.00    0.001000           1      1601        12 total
"""


def test_the_table_of_strace_is_read_with_and_without_errors() -> None:
    assert syscalls.parse(STRACE) == {"epoll_wait": 801, "recvfrom": 400, "sendto": 400}
    assert syscalls.parse("") == {}


def test_the_report_of_the_generator_is_read() -> None:
    text = json.dumps(
        {
            "elapsed": 2.0,
            "cpu": 0.5,
            "bytes": 1,
            "opened": 1,
            "unanswered": 3,
            "handshakes": 8,
            "resumed": 6,
            "errors": {"connect": 0, "closed": 2, "status": 0, "protocol": 0},
            "kinds": [
                {"name": "fast", "answered": 2, "histogram": [[10.5, 2]]},
                {"name": "slow", "answered": 1, "histogram": [[900.0, 1]]},
            ],
        }
    )
    report = generator.parse(text)
    assert report.answered == 3
    assert report.unanswered == 3
    assert report.resumed == 0.75
    assert report.errors == {"closed": 2}
    assert report.histograms == {"fast": [(10.5, 2)], "slow": [(900.0, 1)]}


def run(number: int, rate: float, **more: float) -> Run:
    fields = {"noise": 0.0, "cpu_us": 1e6 / rate, "generator_busy": 0.5} | more
    return Run(number, requests_per_second=rate, histograms={"all": [(1000.0, 99), (4000.0, 1)]}, **fields)  # type: ignore[arg-type]


@pytest.fixture
def measured() -> Results:
    fast = Measured(
        "bigtop", "bigtop serve", [run(0, 20_000), run(1, 10_000), run(2, 40_000)], {"recvfrom": 1.0}
    )
    slow = Measured("other", "other", [run(0, 5_000, noise=0.2, failed=1)])
    limit = Measured("floor", "floor", [run(0, 90_000, generator_busy=0.99)])
    absent = Measured("absent", "absent", left_out="does not answer")
    part = Part(
        "hello",
        "hello world",
        "closed",
        "1 worker",
        {"server": [0], "load": [1]},
        [fast, slow, limit, absent],
    )
    machine = {"cpu": "a CPU", "cores": 2, "virtual": True, "kernel": "6", "python": "3.11"}
    return Results(
        "2026-01-01T00:00:00+00:00", 3, 2.0, machine, {"bigtop": "0.1"}, {"gone": "no compiler"}, [part]
    )


def test_results_survive_the_disk(measured: Results, tmp_path: Path) -> None:
    file = tmp_path / "new" / "r.json"
    measured.save(file)
    again = results.load(file)
    assert render(again) == render(measured)
    assert again.versions == measured.versions
    written = json.loads(file.read_text())
    summary = written["parts"][0]["measured"][0]["summary"]
    assert summary["requests_per_second"] == {"median": 20_000, "low": 10_000, "high": 40_000}
    assert summary["p99_us"]["median"] == 1000.0
    assert summary["max_us"]["median"] == 4000.0


@pytest.mark.parametrize("text", ["[]", "{}", '{"format": "other/1"}'])
def test_a_foreign_file_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(ValueError, match="is not a bigtop-bench/1 result"):
        results.load(file)
    assert main(["table", str(file)]) == 2


def line_of(text: str, peer: str) -> str:
    return next(line for line in text.splitlines() if line.strip().startswith(peer))


def test_the_table_shows_median_spread_ratio_and_doubt(measured: Results) -> None:
    text = render(measured, "bigtop")
    assert line_of(text, "bigtop").split()[:4] == ["bigtop", "20,000", "(10,000-40,000)", "1.00"]
    assert line_of(text, "other").split()[2:4] == ["5,000", "0.25"]
    assert line_of(text, "other").startswith("  other ~!")
    assert line_of(text, "floor").startswith("  floor g")
    assert "does not answer" in line_of(text, "absent")
    assert "left out: gone: no compiler" in text


def test_another_baseline_changes_the_ratios(measured: Results) -> None:
    assert " 4.00 " in line_of(render(measured, "other"), "bigtop")
    assert render(measured, "nobody") == render(measured, "bigtop"), "falls back to the first one measured"


def test_markdown_has_one_table_per_scenario(measured: Results) -> None:
    text = render(measured, "bigtop", markdown=True)
    assert "## hello world" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1


def test_a_rare_figure_has_a_column_where_somebody_has_it(measured: Results) -> None:
    title = "KiB/idle connection"
    assert title not in render(measured)
    measured.parts[0].measured[1].runs[0] = run(0, 5_000, pss_beside=20_480.0)
    text = render(measured)
    assert title in text
    assert line_of(text, "other").endswith(" 20.0")
    assert line_of(text, "bigtop").endswith(" -")


@pytest.mark.parametrize(
    ("usable", "workers", "server", "load"),
    [
        ([0], 4, {0}, {0}),
        ([0, 1], 4, {0}, {1}),
        ([2, 3, 5, 7], 1, {2}, {7}),
        ([0, 1, 2, 3, 4, 5], 4, {0, 1, 2, 3}, {5}),
    ],
)
def test_cores_are_shared_out(usable: list[int], workers: int, server: set[int], load: set[int]) -> None:
    assert share_cores(usable, workers) == (server, load)


@pytest.mark.case("D1")
def test_a_sum_does_not_depend_on_how_an_interpreter_adds() -> None:
    """Since Python 3.12 sum() is more exact; tables show what depends on the last bit."""
    calls = {f"call{number}": 0.1 for number in range(10)}
    found = Measured("bigtop", "bigtop", runs=[], syscalls=calls).summary()["syscalls"]
    assert found is not None
    assert found.median == 1.0
