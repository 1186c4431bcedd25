# What was found out about process managers: its form on disk, and tables for people.

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, ClassVar

from bench.kept import Kept, block, page
from bench.table import machine_line

MIB = 1024 * 1024


@dataclass(slots=True)
class Life:
    """One manager and its processes, from start to stop. None: not measured, or it has no such thing."""

    manager: str
    count: int
    ready_s: float | None = None  # from its exec until it answers, without any process
    start_s: float | None = None
    spawn_s: float | None = None  # the same processes by posix_spawn
    idle_cpu: float | None = None  # share of one core
    rss: int | None = None  # bytes; of the manager and its helpers, not of what they manage
    pss: int | None = None
    status_ms: list[float] = field(default_factory=list)
    stats_ms: list[float] = field(default_factory=list)
    beside_stats_ms: float | None = None  # the longest wait of somebody else meanwhile
    respawn_ms: list[float] = field(default_factory=list)
    stop_s: float | None = None
    problem: str = ""


@dataclass(slots=True)
class Chatter:
    """A manager that is asked while its processes talk."""

    manager: str
    count: int
    rate: int  # lines per second of each process, as far as their outputs are read
    answer_ms: list[float] = field(default_factory=list)
    lines_per_second: float | None = None  # that were written to the file, of all
    cpu: float | None = None  # share of one core
    problem: str = ""


@dataclass(slots=True)
class Results(Kept):
    form: ClassVar[str] = "bigtop-supervise/1"
    parts: ClassVar[dict[str, type]] = {"lives": Life, "chatters": Chatter}
    started: str
    seconds: float
    chatter_rate: int
    machine: dict[str, Any]
    versions: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    lives: list[Life] = field(default_factory=list)
    chatters: list[Chatter] = field(default_factory=list)


# ---- tables

Show = Callable[[Any], str]


def _fixed(digits: int, factor: float = 1.0) -> Callable[[float | None], str]:
    def show(value: float | None) -> str:
        return "-" if value is None else f"{value * factor:,.{digits}f}"

    return show


def middle(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def at(values: Sequence[float], share: float) -> float | None:
    """Return the smallest value that at least `share` (0 to 1) of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)] if ordered else None


def times_spawn(life: Life) -> float | None:
    return life.start_s / life.spawn_s if life.start_s is not None and life.spawn_s else None


LIFE_COLUMNS: tuple[tuple[str, Show], ...] = (
    ("ready s", lambda life: _fixed(2)(life.ready_s)),
    ("start s", lambda life: _fixed(2)(life.start_s)),
    ("÷ posix_spawn", lambda life: _fixed(2)(times_spawn(life))),
    ("idle CPU %", lambda life: _fixed(3, 100)(life.idle_cpu)),
    ("RSS MiB", lambda life: _fixed(1, 1 / MIB)(life.rss)),
    ("PSS MiB", lambda life: _fixed(1, 1 / MIB)(life.pss)),
    ("status ms", lambda life: _fixed(1)(middle(life.status_ms))),
    ("stats ms", lambda life: _fixed(0)(middle(life.stats_ms))),
    ("beside stats ms", lambda life: _fixed(1)(life.beside_stats_ms)),
    ("respawn ms", lambda life: _fixed(1)(middle(life.respawn_ms))),
    ("stop s", lambda life: _fixed(2)(life.stop_s)),
)
CHATTER_COLUMNS: tuple[tuple[str, Show], ...] = (
    ("p50 ms", lambda chatter: _fixed(1)(at(chatter.answer_ms, 0.5))),
    ("p99 ms", lambda chatter: _fixed(1)(at(chatter.answer_ms, 0.99))),
    ("max ms", lambda chatter: _fixed(1)(max(chatter.answer_ms, default=None))),
    ("lines/s written", lambda chatter: _fixed(0)(chatter.lines_per_second)),
    ("CPU %", lambda chatter: _fixed(0, 100)(chatter.cpu)),
)


def render(results: Results, markdown: bool = False) -> str:
    load_average = results.machine.get("load_average_at_start", ["?"])[0]
    blocks = [
        f"{machine_line(results.machine)}\n"
        f"load average at the start {load_average}; idle for {results.seconds:g} s; "
        + ", ".join(f"{name} {version}" for name, version in results.versions.items())
    ]
    for count in dict.fromkeys(life.count for life in results.lives):
        those = [life for life in results.lives if life.count == count]
        blocks.append(_block(f"{count:,} processes", LIFE_COLUMNS, those, markdown))
    if results.chatters:
        first = results.chatters[0]
        title = f"answers while {first.count} processes write {first.rate} lines per second each"
        blocks.append(_block(title, CHATTER_COLUMNS, results.chatters, markdown))
    notes = [f"left out: {name}: {why}" for name, why in results.left_out.items()]
    every = [*results.lives, *results.chatters]
    notes += [f"{one.manager}, {one.count} processes: {one.problem}" for one in every if one.problem]
    return page(blocks, notes, markdown)


def _block(
    title: str, columns: tuple[tuple[str, Show], ...], measured: Sequence[Life | Chatter], markdown: bool
) -> str:
    rows = [["", *(name for name, _ in columns)]]
    rows += [[one.manager, *(show(one) for _, show in columns)] for one in measured]
    return block(title, rows, markdown)
