# What a bench run found out, and its form on disk.
#
# Rules: single runs are kept as they were measured; every summary is made from them. The JSON carries the
# summaries too, for readers with other tools, but load() ignores them: there is one source of truth.

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from math import fsum
from pathlib import Path
from typing import Any

from bench.figures import Histogram, Spread, percentile, spread

FORMAT = "bigtop-bench/1"
PERCENTILES = {"p50_us": 0.5, "p95_us": 0.95, "p99_us": 0.99, "p999_us": 0.999, "max_us": 1.0}


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement of one peer. What a kind of scenario does not measure is None."""

    round: int
    noise: float  # share of the used cores' time that neither server nor generator used
    requests_per_second: float | None = None
    cpu_us: float | None = None  # per request, of the server's whole process tree
    pss_worker: int | None = None  # bytes, the median worker
    pss_tree: int | None = None  # bytes, all processes
    pss_beside: float | None = None  # bytes that each connection beside added to them
    generator_busy: float | None = None  # share of the time; near 1 the generator was the limit
    failed: int = 0  # errors and requests without an answer
    imbalance: float | None = None  # bursts: the busiest worker's requests over the idlest one's
    bursts: list[list[int]] = field(default_factory=list)  # requests per worker, one list per burst
    first_answer_us: float | None = None  # starts: from exec
    start_cpu_us: float | None = None  # starts: of all processes, until they are at rest
    stop_us: float | None = None  # starts: from SIGTERM until the last process has ended
    histograms: dict[str, Histogram] = field(default_factory=dict)
    resumed: float | None = None  # share of the TLS handshakes


@dataclass(slots=True)
class Measured:
    """One peer in one scenario."""

    peer: str
    command: str
    runs: list[Run] = field(default_factory=list)
    syscalls: dict[str, float] | None = None  # per request, by name
    left_out: str | None = None  # why there are no (more) runs

    def summary(self) -> dict[str, Spread | None]:
        """Medians and spread over the rounds; latencies are those of the scenario's first kind of request."""
        names = (
            "requests_per_second",
            "cpu_us",
            "pss_worker",
            "pss_tree",
            "pss_beside",
            "generator_busy",
            "noise",
            "imbalance",
            "first_answer_us",
            "start_cpu_us",
            "stop_us",
            "resumed",
        )
        figures = {name: spread(getattr(run, name) for run in self.runs) for name in names}
        first = [next(iter(run.histograms.values()), []) for run in self.runs]
        for name, share in PERCENTILES.items():
            figures[name] = spread(percentile(histogram, share) for histogram in first)
        figures["syscalls"] = spread([fsum(self.syscalls.values())]) if self.syscalls else None
        return figures


@dataclass(slots=True)
class Part:
    """One scenario."""

    name: str
    title: str
    kind: str  # of load: "closed", "open" or "burst"; "start" has none
    shape: str
    cores: dict[str, list[int]]
    measured: list[Measured] = field(default_factory=list)


@dataclass(slots=True)
class Results:
    started: str
    rounds: int
    seconds: float
    machine: dict[str, Any]
    versions: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)  # peer → why
    parts: list[Part] = field(default_factory=list)

    def save(self, path: Path) -> None:
        data = {"format": FORMAT, **asdict(self)}
        for part, written in zip(self.parts, data["parts"], strict=True):
            for measured, entry in zip(part.measured, written["measured"], strict=True):
                entry["summary"] = {
                    name: value and asdict(value)
                    for name, value in measured.summary().items()
                    if measured.runs
                }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data) + "\n")


def load(path: Path) -> Results:
    """Raise ValueError when the file is not a result of this bench."""
    data = json.loads(path.read_text())
    if not isinstance(data, dict) or data.pop("format", None) != FORMAT:
        raise ValueError(f"{path} is not a {FORMAT} result")
    parts = [
        Part(
            part["name"],
            part["title"],
            part["kind"],
            part["shape"],
            part["cores"],
            [
                Measured(
                    m["peer"], m["command"], [Run(**run) for run in m["runs"]], m["syscalls"], m["left_out"]
                )
                for m in part["measured"]
            ],
        )
        for part in data.pop("parts")
    ]
    return Results(**data, parts=parts)
