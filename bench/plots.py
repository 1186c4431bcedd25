# Draws results: one SVG per scenario. It runs in the bench's own environment, where matplotlib is.
#
#   .bench-venv/bin/python -m bench.plots RESULT.json FOLDER
#
# Rule: a picture shows what its table shows, medians and their spread, and nothing that the table hides.

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.figures import Spread
from bench.results import Part, load

OURS, OTHERS, FLOOR = "#b5462f", "#7d8ca3", "#c9ced6"
TITLES = {
    "closed": ("CPU µs per request", "cpu_us", 1.0),
    "open": ("p99 in ms", "p99_us", 1000.0),
    "start": ("ms from exec to the first answer", "first_answer_us", 1000.0),
    "burst": ("requests of the busiest worker over those of the idlest", "imbalance", 1.0),
}


def bars(part: Part) -> list[tuple[str, Spread]]:
    """Return the peers of a scenario with the figure it is about, the best first."""
    figure = TITLES[part.kind][1]
    found = [(measured.peer, measured.summary()[figure]) for measured in part.measured if measured.runs]
    return sorted([(name, value) for name, value in found if value], key=lambda pair: pair[1].median)


def draw(part: Part, folder: Path) -> None:
    pyplot: Any = import_module("matplotlib.pyplot")
    rows = bars(part)
    title, _, unit = TITLES[part.kind]
    figure, axes = pyplot.subplots(figsize=(7, 0.8 + 0.3 * len(rows)), layout="constrained")
    names = [name for name, _ in rows]
    medians = [value.median / unit for _, value in rows]
    below = [(value.median - value.low) / unit for _, value in rows]
    above = [(value.high - value.median) / unit for _, value in rows]
    axes.barh(names, medians, xerr=(below, above), color=[_colour(name) for name in names], ecolor="#333")
    axes.invert_yaxis()
    axes.set_xlabel(f"{title} (less is better)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(part.title, loc="left", fontsize="medium")
    figure.savefig(folder / f"{part.name}.svg", metadata={"Date": None})
    pyplot.close(figure)


def _colour(peer: str) -> str:
    return OURS if peer.startswith("bigtop") else FLOOR if peer == "c-epoll" else OTHERS


if __name__ == "__main__":
    result, target = map(Path, sys.argv[1:])
    # Text stays text, and ids depend on the content: a picture of the same figures is the same file.
    import_module("matplotlib").rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "bench"})
    target.mkdir(parents=True, exist_ok=True)
    for measured_part in load(result).parts:
        if bars(measured_part):
            draw(measured_part, target)
