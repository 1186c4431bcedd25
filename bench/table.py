# Results as text for a terminal, or as Markdown for the documentation.
#
# Rule: a row never hides how far it can be trusted. Spread stands beside each median, and marks say when the
# machine was noisy, the generator was the limit, or requests failed.

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.figures import Spread, ratio
from bench.results import Measured, Part, Results

NOISY = 0.05
GENERATOR_LIMIT = 0.9
MIB = 1024 * 1024

Summary = dict[str, Spread | None]


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    figure: str
    show: Callable[[float], str]
    with_spread: bool = False
    with_ratio: bool = False
    is_rare: bool = False  # left out where nobody has a figure


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _milliseconds(us: float) -> str:
    return f"{us / 1000:.3g}" if us < 999_500 else f"{us / 1000:,.0f}"


def _short(value: float) -> str:
    return f"{value:.1f}" if value < 999.5 else f"{value:,.0f}"


def _times(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def _mib(value: float) -> str:
    return f"{value / MIB:.1f}"


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _kib(value: float) -> str:
    return f"{value / 1024:.1f}"


CLOSED_COLUMNS = (
    Column("req/s", "requests_per_second", _count, with_spread=True, with_ratio=True),
    Column("p50 ms", "p50_us", _milliseconds),
    Column("p99 ms", "p99_us", _milliseconds, with_spread=True),
    Column("p99.9 ms", "p999_us", _milliseconds),
    Column("CPU µs/req", "cpu_us", _short, with_spread=True, with_ratio=True),
    Column("syscalls/req", "syscalls", _short),
    Column("PSS/worker MiB", "pss_worker", _mib),
    Column("PSS tree MiB", "pss_tree", _mib),
    Column("KiB/idle connection", "pss_beside", _kib, is_rare=True),
    Column("resumed", "resumed", _percent, is_rare=True),
)
OPEN_COLUMNS = (
    Column("req/s", "requests_per_second", _count),
    Column("p50 ms", "p50_us", _milliseconds, with_spread=True),
    Column("p95 ms", "p95_us", _milliseconds),
    Column("p99 ms", "p99_us", _milliseconds, with_spread=True, with_ratio=True),
    Column("p99.9 ms", "p999_us", _milliseconds),
    Column("max ms", "max_us", _milliseconds),
    Column("CPU µs/req", "cpu_us", _short),
)
BURST_COLUMNS = (Column("busiest/idlest worker", "imbalance", _short, with_spread=True, with_ratio=True),)
START_COLUMNS = (
    Column("first answer ms", "first_answer_us", _milliseconds, with_spread=True, with_ratio=True),
    Column("CPU ms", "start_cpu_us", _milliseconds, with_spread=True, with_ratio=True),
    Column("PSS tree MiB", "pss_tree", _mib, with_spread=True, with_ratio=True),
    Column("stop ms", "stop_us", _milliseconds, with_spread=True, with_ratio=True),
)
COLUMNS = {"closed": CLOSED_COLUMNS, "open": OPEN_COLUMNS, "burst": BURST_COLUMNS, "start": START_COLUMNS}

MARKS = {
    "~": "more than 5 % of the cores used went to others, or to the kernel on nobody's account",
    "g": "the load generator was at its limit: the server could have done more",
    "!": "requests failed or stayed without an answer",
}


def render(results: Results, baseline: str | None = None, markdown: bool = False) -> str:
    blocks = [heading(results), *(block(part, baseline, markdown) for part in results.parts), legend(results)]
    return "\n\n".join(filter(None, blocks))


def heading(results: Results) -> str:
    return f"{machine_line(results.machine)}\n{_run_line(results)}"


def _run_line(results: Results) -> str:
    """Say when a run was, of which commit, and what its figures are."""
    commit, changed = results.machine.get("commit"), results.machine.get("uncommitted_changes")
    source = f", commit {commit}{' and uncommitted changes' if changed else ''}" if commit else ""
    if results.rounds == 1:
        figures = f"one round of {results.seconds:g} s"
    else:
        figures = f"{results.rounds} rounds of {results.seconds:g} s, interleaved; medians (lowest-highest)"
    return f"{results.started[:10]}{source}; {figures}"


def machine_line(machine: Mapping[str, Any]) -> str:
    virtual = ", virtual" if machine.get("virtual") else ""
    cpu = f"{machine['cpu']}, {machine['cores']} cores{virtual}"
    return f"{cpu}, Linux {machine['kernel']}, Python {machine['python']}"


def block(part: Part, baseline: str | None, markdown: bool) -> str:
    """Show one scenario: how the load came, the table, and who was left out why."""
    where = f"server on core {_join(part.cores['server'])}, load from {_join(part.cores['load'])}"
    shape = f"{part.shape}; {where}"
    rows = _rows(part, _baseline(part, baseline))
    lines = [f"## {part.title}\n", f"{shape}\n"] if markdown else [f"{part.name}: {part.title}", shape]
    lines += markdown_table(rows) if markdown else aligned(rows)
    lines += [f"{'- ' if markdown else '  '}{m.peer}: {m.left_out}" for m in part.measured if m.left_out]
    return "\n".join(lines)


def legend(results: Results) -> str:
    """Explain the marks that were used, and name the peers that could not be measured."""
    marks = {
        mark for part in results.parts for m in part.measured if m.runs for mark in _marks(m, m.summary())
    }
    notes = [f"`{mark}` {meaning}" for mark, meaning in MARKS.items() if mark in marks]
    notes += [f"left out: {peer}: {why}" for peer, why in results.left_out.items()]
    return "\n".join(f"- {note}" for note in notes)


def _join(cores: Sequence[int]) -> str:
    return ", ".join(map(str, cores))


def _baseline(part: Part, wanted: str | None) -> Measured | None:
    """Return what the ratios refer to: the wanted peer where it was measured, else the first one that was."""
    with_runs = [measured for measured in part.measured if measured.runs]
    return next((m for m in with_runs if m.peer == wanted), with_runs[0] if with_runs else None)


def _rows(part: Part, base: Measured | None) -> list[list[str]]:
    known = {name for m in part.measured if m.runs for name, figure in m.summary().items() if figure}
    columns = [column for column in COLUMNS[part.kind] if not column.is_rare or column.figure in known]
    header = [""]
    for column in columns:
        header += [column.title] + ["ratio"] * column.with_ratio
    rows = [header]
    base_summary = base.summary() if base else {}
    for measured in part.measured:
        if not measured.runs:
            continue
        summary = measured.summary()
        row = [f"{measured.peer} {_marks(measured, summary)}".strip()]
        for column in columns:
            row.append(_cell(column, summary.get(column.figure)))
            if column.with_ratio:
                times = ratio(summary.get(column.figure), base_summary.get(column.figure))
                row.append("-" if times is None else _times(times))
        rows.append(row)
    return rows


def _cell(column: Column, value: Spread | None) -> str:
    if value is None:
        return "-"
    text = column.show(value.median)
    if column.with_spread and value.low != value.high:
        text += f" ({column.show(value.low)}-{column.show(value.high)})"
    return text


def _marks(measured: Measured, summary: Summary) -> str:
    noise, busy = summary["noise"], summary["generator_busy"]
    marks = "~" if noise and noise.median > NOISY else ""
    marks += "g" if busy and busy.median > GENERATOR_LIMIT else ""
    return marks + ("!" if any(run.failed for run in measured.runs) else "")


def aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(
            [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]


def markdown_table(rows: list[list[str]]) -> list[str]:
    rule = "| --- |" + " ---: |" * (len(rows[0]) - 1)
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], rule, *lines[1:], ""]
