# What clients noticed of deploys, deaths and ends: its form on disk, and tables for people.

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from bench.kept import Kept, block, page
from bench.table import machine_line

# What happens → what a table says of that.
EVENTS = {
    "good": "three reloads to good code",
    "import error": "a reload to code that cannot be imported",
    "failing": "a reload to code that answers 500 to all but the health check",
    "kill": "a worker is killed with -9",
    "term": "TERM: what had come before has to be answered",
}


@dataclass(slots=True)
class Outcome:
    """One peer and one event. Requests by what became of them."""

    peer: str
    event: str
    answered: int = 0
    lost: int = 0  # reset, cut off or hung
    refused: int = 0
    failed: int = 0  # answered with a 5xx
    wrong: int = 0
    well_s: float | None = 0.0  # until the last request that went wrong; None: they did to the end
    new_s: float | None = None  # from the last reload until its code answered
    watched_s: float = 0.0  # for how long somebody looked
    ended: int | None = None  # exit status of a server that ended by itself
    problem: str = ""

    @property
    def well(self) -> str:
        if self.ended is not None:
            return "it has ended"
        if self.well_s is None:
            return f"not within {self.watched_s:.0f} s"
        is_always = not (self.lost or self.refused or self.failed or self.wrong)
        return "always" if is_always else f"after {self.well_s:.1f} s"


@dataclass(slots=True)
class Results(Kept):
    form: ClassVar[str] = "bigtop-deploys/1"
    parts: ClassVar[dict[str, type]] = {"outcomes": Outcome}
    started: str
    rate: float  # requests per second
    machine: dict[str, Any]
    versions: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)


def render(results: Results, markdown: bool = False) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    run = f"{results.started[:10]}, commit {results.machine.get('commit')}"
    blocks = [f"{machine_line(results.machine)}\n{run}; {results.rate:g} requests per second; {versions}"]
    for event, title in EVENTS.items():
        if those := [one for one in results.outcomes if one.event == event]:
            blocks.append(_block(title, those, markdown))
    notes = [f"left out: {name}: {why}" for name, why in results.left_out.items()]
    notes += [f"{one.peer}, {one.event}: {one.problem}" for one in results.outcomes if one.problem]
    return page(blocks, notes, markdown)


def _block(title: str, outcomes: list[Outcome], markdown: bool) -> str:
    rows = [["", "answered", "lost", "refused", "5xx", "wrong", "new code after", "all is well"]]
    for one in outcomes:
        counts = (one.answered, one.lost, one.refused, one.failed, one.wrong)
        new = f"{one.new_s:.1f} s" if one.new_s is not None else "-"
        cells = [*map(str, counts), new, one.well]
        rows.append([one.peer, *(cells if not one.problem else "-" * len(cells))])
    return block(title, rows, markdown)
