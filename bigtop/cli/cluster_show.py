# Answers of a controller as a person reads them.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bigtop.cli.ctl.ctl_table import table


def status(said: Mapping[str, Any]) -> str:
    count = ", ".join(f"{number} {state}" for state, number in said["count"].items() if number)
    leads = f"{said['leader']} leads, epoch {said['epoch']}"
    head = f"cluster {said['cluster']}: {leads}; nodes: {count or 'none'}"
    found = {name: one["rollout"] for name, one in said["apps"].items()}
    parts = [head, rollouts(found), nodes(said["nodes"])]
    return "\n\n".join(part for part in parts if part)


def rollouts(found: Mapping[str, Any]) -> str:
    rows: list[Sequence[str]] = []
    for name, one in found.items():
        if one is None:
            continue
        total = sum(map(len, one["waves"]))
        healthy = sum(outcome == "healthy" for outcome in one["outcomes"].values())
        wave = f"{one['wave'] + 1} of {len(one['waves'])}"
        number, new, phase, reason = (str(one[key]) for key in ("number", "new", "phase", "reason"))
        rows.append([name, number, new, phase, wave, f"{healthy} of {total}", reason])
    if not rows:
        return ""
    return table(["APP", "ROLLOUT", "REVISION", "PHASE", "WAVE", "HEALTHY", "REASON"], rows)


def nodes(found: Mapping[str, Any]) -> str:
    rows = []
    for name, one in found.items():
        state = one["state"] + (", cordoned" if one["cordoned"] else "")
        rows.append([name, state, ",".join(one["tags"]), "; ".join([*_apps(one), *one["alarms"]])])
    return table(["NODE", "STATE", "TAGS", "APPLICATIONS"], rows) if rows else "there is no node"


def _apps(node: Mapping[str, Any]) -> Iterator[str]:
    for name, app in node["apps"].items():
        yield f"{name} {app['revision']} {app['condition']}" + (f": {app['why']}" if app["why"] else "")
